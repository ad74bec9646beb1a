import { Client } from "@fathom/client";
import type { CommandContext, GlobalOptions } from "../../grammar/command.ts";
import { complete, type NameSource } from "../../grammar/completion.ts";
import { globalFlags, globalOptions } from "../../grammar/global-options.ts";
import { parseFlags } from "../../grammar/flags.ts";

/** Names from a running daemon. Without a daemon there are none: completion never starts a daemon and never prints an error. */
function namesFrom({ address, configDirectory }: GlobalOptions): NameSource {
  return async (kind) => {
    try {
      const client = (): Client => new Client(address());
      switch (kind) {
        case "containers":
          return (
            await client().list<{ Names: readonly string[] }>("GET", "/containers/json", {
              query: { all: true },
            })
          ).flatMap(({ Names }) => Names.map((name) => name.slice(1)));
        case "images":
          return (await client().list<{ RepoTags: readonly string[] | null }>("GET", "/images/json")).flatMap(
            ({ RepoTags }) => RepoTags ?? [],
          );
        case "networks":
          return (await client().list<{ Name: string }>("GET", "/networks")).map(({ Name }) => Name);
        case "volumes":
          return (
            (await client().json<{ Volumes: readonly { Name: string }[] | null }>("GET", "/volumes")).Volumes ?? []
          ).map(({ Name }) => Name);
        case "contexts":
          return (await import("../../config/contexts.ts")).listContexts(configDirectory).map(({ Name }) => Name);
        case "registries":
          return Object.keys((await import("../../config/config-file.ts")).readConfig(configDirectory).auths ?? {});
      }
    } catch {
      return [];
    }
  };
}

/** The daemon that the line names, if its words are complete. */
async function lineOptions({ args, global, environment }: CommandContext): Promise<GlobalOptions> {
  try {
    return await globalOptions(parseFlags(globalFlags, args.slice(0, -1), { stopAtArgument: true }), environment);
  } catch {
    return global;
  }
}

export async function run(context: CommandContext): Promise<number> {
  const { commands, groups, args, stdout } = context;
  const found = await complete({ commands, groups, globalFlags }, args, namesFrom(await lineOptions(context)));
  if (found === "files") stdout.write(":files\n");
  else stdout.write(found.map(({ value, help }) => `${value}\t${help}\n`).join(""));
  return 0;
}
