/** `inspect` in all its forms: finds each name, prints a JSON array or a template for each, reports the missing ones last. */
import { messageOf } from "@fathom/base";
import { DaemonError, type Client, type Query } from "@fathom/client";
import type { CommandContext } from "./command.ts";
import { platformQuery } from "./platform-query.ts";
import { compileTemplate, TemplateError } from "./template/template.ts";

export type ObjectKind = "container" | "image" | "network" | "volume";

const paths: Readonly<Record<ObjectKind, (name: string) => string>> = {
  container: (name) => `/containers/${name}/json`,
  image: (name) => `/images/${name}/json`,
  network: (name) => `/networks/${name}`,
  volume: (name) => `/volumes/${name}`,
};

/** The first kind that knows the name. Bytes are kept as the daemon sent them, key order included. */
async function find(client: Client, name: string, kinds: readonly ObjectKind[], query: Query): Promise<unknown> {
  let failure: unknown;
  for (const kind of kinds) {
    try {
      return await client.json("GET", paths[kind](encodeURIComponent(name)), {
        query,
      });
    } catch (error) {
      failure = error;
      if (!(error instanceof DaemonError && error.status === 404)) break;
    }
  }
  if (!(failure instanceof DaemonError)) throw failure;
  if (failure.status === 404 && kinds.length > 1) throw new Error(`Error: No such object: ${name}`);
  throw new Error(`Error response from daemon: ${messageOf(failure)}`);
}

export async function inspectObjects(
  client: Client,
  context: CommandContext,
  kinds: readonly ObjectKind[],
  platform = "",
): Promise<number> {
  const { flags, stdout, stderr } = context;
  const query: Query = {
    size: kinds.includes("container") && flags.bool("size") ? 1 : undefined,
    platform: platformQuery(platform),
  };
  const format = flags.string("format").replaceAll("\\t", "\t").replaceAll("\\n", "\n");
  let template: ReturnType<typeof compileTemplate> | undefined;
  if (format !== "" && format !== "json") {
    try {
      template = compileTemplate(format);
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      stderr.write(`template parsing error: ${error.message}\n`);
      return 64;
    }
  }
  const found: unknown[] = [];
  const errors: string[] = [];
  for (const name of context.args) {
    try {
      found.push(await find(client, name, kinds, query));
    } catch (error) {
      errors.push(messageOf(error));
      if (template !== undefined || format === "json") break;
    }
  }
  try {
    if (format === "json") stdout.write(`${JSON.stringify(found)}\n`);
    else if (template !== undefined) for (const value of found) stdout.write(`${template.render(value)}\n`);
    else stdout.write(`${found.length === 0 ? "[]" : JSON.stringify(found, null, 4)}\n`);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    stderr.write(`template parsing error: ${error.message}\n`);
    return 1;
  }
  for (const text of errors) stderr.write(`${text}\n`);
  return errors.length > 0 ? 1 : 0;
}
