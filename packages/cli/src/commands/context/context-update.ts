import { checkContextName, readContext, writeContext } from "../../config/contexts.ts";
import type { CommandContext } from "../../grammar/command.ts";
import { endpointOf } from "./endpoint.ts";

export async function run({ args, flags, global, stdout, stderr }: CommandContext): Promise<number> {
  const [name = ""] = args;
  checkContextName(name);
  const before = readContext(global.configDirectory, name);
  const description = flags.string("description");
  const Metadata = description === "" ? before.Metadata : { ...before.Metadata, Description: description };
  if (flags.list("docker").length === 0) writeContext(global.configDirectory, { ...before, Metadata }, "unchanged");
  else {
    const { endpoint, tls } = endpointOf(global.configDirectory, flags.list("docker"));
    const Endpoints = { ...before.Endpoints, docker: endpoint };
    writeContext(global.configDirectory, { ...before, Metadata, Endpoints }, tls);
  }
  stdout.write(`${name}\n`);
  stderr.write(`Successfully updated context ${JSON.stringify(name)}\n`);
  return 0;
}
