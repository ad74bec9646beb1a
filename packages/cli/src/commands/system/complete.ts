import { Client } from "@fathom/client";
import type { CommandContext } from "../../grammar/command.ts";
import { complete, type NameSource } from "../../grammar/completion.ts";
import { globalFlags } from "../../grammar/dispatch.ts";
import { parseFlags } from "../../grammar/flags.ts";

/** Names from a running daemon. Without a daemon there are none: completion never starts a daemon and never prints an error. */
function namesFrom(client: Client, configDirectory: string): NameSource {
  return async (kind) => {
    try {
      switch (kind) {
        case "containers":
          return (
            await client.list<{ Names: readonly string[] }>("GET", "/containers/json", {
              query: { all: true },
            })
          ).flatMap(({ Names }) => Names.map((name) => name.slice(1)));
        case "images":
          return (await client.list<{ RepoTags: readonly string[] | null }>("GET", "/images/json")).flatMap(
            ({ RepoTags }) => RepoTags ?? [],
          );
        case "networks":
          return (await client.list<{ Name: string }>("GET", "/networks")).map(({ Name }) => Name);
        case "volumes":
          return (
            (await client.json<{ Volumes: readonly { Name: string }[] | null }>("GET", "/volumes")).Volumes ?? []
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

/** The host on the line, if its word is complete. */
function hostOf({ args, global }: CommandContext): string {
  try {
    const flags = parseFlags(globalFlags, args.slice(0, -1), { stopAtArgument: true });
    return flags.list("host").at(-1) ?? global.host;
  } catch {
    return global.host;
  }
}

export async function run(context: CommandContext): Promise<number> {
  const { commands, groups } = context;
  const found = await complete(
    { commands, groups, globalFlags },
    context.args,
    namesFrom(new Client(hostOf(context)), context.global.configDirectory),
  );
  if (found === "files") context.stdout.write(":files\n");
  else context.stdout.write(found.map(({ value, help }) => `${value}\t${help}\n`).join(""));
  return 0;
}
