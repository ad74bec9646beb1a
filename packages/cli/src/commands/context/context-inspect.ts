import { defaultContext, metaDirectory, readContext, tlsDirectory, tlsMaterial } from "../../config/contexts.ts";
import type { CommandContext } from "../../grammar/command.ts";
import { printInspected } from "../../output/inspected.ts";

function describe({ global }: CommandContext, name: string): unknown {
  if (name === defaultContext)
    return {
      Name: name,
      Metadata: {},
      Endpoints: { docker: { Host: global.defaultHost, SkipTLSVerify: false } },
      TLSMaterial: {},
      Storage: { MetadataPath: "<IN MEMORY>", TLSPath: "<IN MEMORY>" },
    };
  const { Name, Metadata, Endpoints } = readContext(global.configDirectory, name);
  return {
    Name,
    Metadata,
    Endpoints: Object.fromEntries(
      Object.entries(Endpoints).map(([key, { Host, SkipTLSVerify }]) => [
        key,
        { ...(Host === undefined ? {} : { Host }), SkipTLSVerify: SkipTLSVerify ?? false },
      ]),
    ),
    TLSMaterial: tlsMaterial(global.configDirectory, name),
    Storage: {
      MetadataPath: metaDirectory(global.configDirectory, name),
      TLSPath: tlsDirectory(global.configDirectory, name),
    },
  };
}

export async function run(context: CommandContext): Promise<number> {
  const names = context.args.length === 0 ? [context.global.context] : context.args;
  return printInspected(context, names, (name) => Promise.resolve().then(() => describe(context, name)));
}
