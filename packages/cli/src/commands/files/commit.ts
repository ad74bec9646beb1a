import { familiarName, parseReference, withDefaultTag } from "@fathom/spec";
import type { CommandContext } from "../../grammar/command.ts";
import { queryText } from "../../session/query-text.ts";
import { connect } from "../../session/session.ts";

/** @throws invalid-argument, Error in docker's words */
function nameOf(reference: string): { readonly repo: string; readonly tag: string } | undefined {
  if (reference === "") return undefined;
  const parsed = parseReference(reference);
  if (parsed.digest !== undefined) throw new Error("refusing to create a tag with a digest reference");
  return { repo: familiarName(parsed), tag: withDefaultTag(parsed).tag ?? "" };
}

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const [container, reference = ""] = context.args;
  const name = nameOf(reference);
  const client = await connect(context);
  const query = queryText({
    container,
    repo: name?.repo ?? "",
    tag: name?.tag ?? "",
    comment: flags.string("message"),
    author: flags.string("author"),
    changes: flags.list("change"),
    pause: flags.bool("pause") ? undefined : "0",
  });
  const { Id } = await client.json<{ Id: string }>("POST", `/commit${query}`);
  stdout.write(`${Id}\n`);
  return 0;
}
