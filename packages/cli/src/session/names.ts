/** The names of what the daemon and Docker's files have, for completion and for suggestions. */
import { Client } from "@fathom/client";
import type { GlobalOptions } from "../grammar/command.ts";
import type { NameSource } from "../grammar/completion.ts";
import { nearest } from "../grammar/nearest.ts";

/** Names from a running daemon. Without a daemon there are none: completion never starts a daemon and never prints an error. */
export function namesFrom({ address, configDirectory }: GlobalOptions): NameSource {
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
          return (await import("../config/contexts.ts")).listContexts(configDirectory).map(({ Name }) => Name);
        case "registries":
          return Object.keys((await import("../config/config-file.ts")).readConfig(configDirectory).auths ?? {});
      }
    } catch {
      return [];
    }
  };
}

/** A name that is similar to the one that was not found, or the only one that contains it. */
export function similarName(typed: string, names: readonly string[]): string | undefined {
  if (names.includes(typed)) return undefined;
  const near = nearest(typed, new Map(names.map((name) => [name, name])));
  if (near !== undefined) return near;
  const longer = typed.length < 3 ? [] : names.filter((name) => name.includes(typed));
  return longer.length === 1 ? longer[0] : undefined;
}
