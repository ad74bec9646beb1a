import type { CommandContext } from "../../grammar/command.ts";
import { forEachName } from "../../session/each.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context);

  return forEachName(context, context.args, async (name) => {
    await client.send("POST", `/containers/${encodeURIComponent(name)}/unpause`, { query: {} });
    return name;
  });
}
