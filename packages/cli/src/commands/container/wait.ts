import type { CommandContext } from "../../grammar/command.ts";
import { forEachName } from "../../session/each.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context);
  return forEachName(context, context.args, async (name) => {
    const { StatusCode } = await client.json<{ StatusCode: number }>(
      "POST",
      `/containers/${encodeURIComponent(name)}/wait`,
    );
    return String(StatusCode);
  });
}
