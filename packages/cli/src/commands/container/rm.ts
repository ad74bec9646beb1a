import type { CommandContext } from "../../grammar/command.ts";
import { forEachName } from "../../session/each.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context);
  const { flags } = context;
  const query = { force: flags.bool("force"), v: flags.bool("volumes"), link: flags.bool("link") };
  const remove = async (name: string): Promise<string> => {
    await client.send("DELETE", `/containers/${encodeURIComponent(name)}`, { query });
    return name;
  };
  return forEachName(context, context.args, remove, query.force);
}
