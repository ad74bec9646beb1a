import { isEngineError } from "@fathom/base";
import type { CommandContext } from "../../grammar/command.ts";
import { errorLine } from "../../session/each.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context);
  const query = { force: context.flags.bool("force"), noprune: context.flags.bool("no-prune") };
  let code = 0;
  // One after another: removing the first name may also remove the image of the second.
  for (const name of context.args) {
    try {
      const items = await client.list<{ Untagged?: string; Deleted?: string }>(
        "DELETE",
        `/images/${encodeURIComponent(name)}`,
        { query },
      );
      for (const item of items)
        context.stdout.write(
          item.Deleted === undefined ? `Untagged: ${item.Untagged}\n` : `Deleted: ${item.Deleted}\n`,
        );
    } catch (error) {
      context.stderr.write(`${errorLine(error)}\n`);
      if (!(query.force && isEngineError(error, "not-found"))) code = 1;
    }
  }
  return code;
}
