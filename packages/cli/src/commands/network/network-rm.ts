import { isEngineError } from "@fathom/base";
import type { CommandContext } from "../../grammar/command.ts";
import { forEachName } from "../../session/each.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context);
  const force = context.flags.bool("force");
  return forEachName(context, context.args, async (name) => {
    try {
      await client.send("DELETE", `/networks/${encodeURIComponent(name)}`);
      return name;
    } catch (error) {
      if (force && isEngineError(error, "not-found")) return undefined;
      throw error;
    }
  });
}
