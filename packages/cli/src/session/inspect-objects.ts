/** `inspect` in all its forms. It finds each name, prints a JSON array or a template for each, and reports the missing names last. */
import { messageOf } from "@fathom/base";
import { DaemonError, type Client, type Query } from "@fathom/client";
import type { CommandContext } from "../grammar/command.ts";
import { platformQuery } from "./platform-query.ts";
import { isObject } from "@fathom/spec";
import { printInspected } from "../output/inspected.ts";

export type ObjectKind =
  | "config"
  | "container"
  | "image"
  | "network"
  | "node"
  | "plugin"
  | "secret"
  | "service"
  | "task"
  | "volume";

/**
 * The last version of the API that has two things that scripts read: the bridge's address in NetworkSettings, and the status of an event. Newer
 * versions have them only in their new places.
 */
export const readableApi = "/v1.50";

const paths: Readonly<Record<ObjectKind, (name: string) => string>> = {
  config: (name) => `/configs/${name}`,
  container: (name) => `/containers/${name}/json`,
  image: (name) => `/images/${name}/json`,
  network: (name) => `/networks/${name}`,
  node: (name) => `/nodes/${name}`,
  plugin: (name) => `/plugins/${name}/json`,
  secret: (name) => `/secrets/${name}`,
  service: (name) => `/services/${name}`,
  task: (name) => `/tasks/${name}`,
  volume: (name) => `/volumes/${name}`,
};

/** In alphabetical order, as an error lists them. */
export const objectKinds = Object.keys(paths) as readonly ObjectKind[];

/**
 * The first kind that has an object with this name. Keys are in the daemon's order, which is alphabetical in older API versions, as docker
 * prints a whole object. In a template, each part has its fields in the order of their definition, and then the fields that only the older
 * version has.
 */
async function find(
  client: Client,
  name: string,
  kinds: readonly ObjectKind[],
  query: Query,
  ordered: boolean,
): Promise<unknown> {
  let failure: unknown;
  for (const kind of kinds) {
    try {
      const path = paths[kind](encodeURIComponent(name));
      const readable = await client.json("GET", readableApi + path, { query });
      return ordered ? withMissing(await client.json("GET", path, { query }), readable) : readable;
    } catch (error) {
      failure = error;
      if (!(error instanceof DaemonError && error.status === 404)) break;
    }
  }
  if (!(failure instanceof DaemonError)) throw failure;
  if (failure.status === 404 && kinds.length > 1) throw new Error(`Error: No such object: ${name}`);
  throw new Error(`Error response from daemon: ${messageOf(failure)}`);
}

/** `value`, and the keys that only `other` has. */
function withMissing(value: unknown, other: unknown): unknown {
  if (!isObject(value) || !isObject(other)) return value;
  return {
    ...Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withMissing(inner, other[key])])),
    ...Object.fromEntries(Object.entries(other).filter(([key]) => !Object.hasOwn(value, key))),
  };
}

export async function inspectObjects(
  client: Client,
  context: CommandContext,
  kinds: readonly ObjectKind[],
  platform = "",
): Promise<number> {
  const query: Query = {
    size: kinds.includes("container") && context.flags.bool("size") ? 1 : undefined,
    platform: platformQuery(platform),
  };
  return printInspected(context, context.args, (name, ordered) => find(client, name, kinds, query, ordered));
}
