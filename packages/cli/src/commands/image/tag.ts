import { messageOf } from "@fathom/base";
import { parseReference } from "@fathom/spec";
import type { CommandContext } from "../../grammar/command.ts";
import { connect } from "../../session/session.ts";

/** The part of a name before its tag, and the tag. A colon before the last slash is a port. */
export function splitTag(name: string): readonly [string, string | undefined] {
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? [name.slice(0, colon), name.slice(colon + 1)] : [name, undefined];
}

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context);
  const [source, target] = context.args;
  try {
    parseReference(target!);
  } catch (error) {
    throw new Error(
      `Error parsing reference: ${JSON.stringify(target)} is not a valid repository/tag: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
  const [repo, tag] = splitTag(target!);
  await client.send("POST", `/images/${encodeURIComponent(source!)}/tag`, { query: { repo, tag } });
  return 0;
}
