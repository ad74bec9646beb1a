import type { CommandContext } from "../../grammar/command.ts";
import { forEachName } from "../../session/each.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context);
  const query = { signal: context.flags.string("signal") || "KILL" };
  return forEachName(context, context.args, async (name) => {
    await client.send("POST", `/containers/${encodeURIComponent(name)}/kill`, { query: query });
    return name;
  });
}
