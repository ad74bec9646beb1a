import {
  checkContextName,
  defaultContext,
  hasContext,
  readContext,
  readTls,
  writeContext,
} from "../../config/contexts.ts";
import type { ContextData, TlsFiles } from "../../config/contexts.ts";
import type { CommandContext } from "../../grammar/command.ts";
import { endpointOf } from "./endpoint.ts";

/** The data of a new context: of the flag, or of another context. */
function dataOf(context: CommandContext, name: string): { readonly data: ContextData; readonly tls: TlsFiles } {
  const { flags, global } = context;
  const given = flags.list("docker");
  const from = flags.string("from") || (given.length === 0 ? global.context : "");
  const description = flags.string("description");
  const described = description === "" ? {} : { Description: description };
  if (from === "") {
    const { endpoint, tls } = endpointOf(global.configDirectory, given);
    return { data: { Name: name, Metadata: described, Endpoints: { docker: endpoint } }, tls };
  }
  if (given.length > 0) throw new Error("cannot use --docker flag when --from is set");
  if (from === defaultContext) {
    const endpoint = { Host: global.address().host, SkipTLSVerify: false };
    return { data: { Name: name, Metadata: described, Endpoints: { docker: endpoint } }, tls: {} };
  }
  const source = readContext(global.configDirectory, from);
  return {
    data: { ...source, Name: name, Metadata: { ...source.Metadata, ...described } },
    tls: readTls(global.configDirectory, from),
  };
}

export async function run(context: CommandContext): Promise<number> {
  const [name = ""] = context.args;
  const directory = context.global.configDirectory;
  checkContextName(name);
  if (hasContext(directory, name)) throw new Error(`context ${JSON.stringify(name)} already exists`);
  const { data, tls } = dataOf(context, name);
  writeContext(directory, data, tls);
  context.stdout.write(`${name}\n`);
  context.stderr.write(`Successfully created context ${JSON.stringify(name)}\n`);
  return 0;
}
