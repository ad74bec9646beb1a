import type { CommandContext } from "../command.ts";
import { forEachName } from "../each.ts";
import { connect } from "../session.ts";

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
