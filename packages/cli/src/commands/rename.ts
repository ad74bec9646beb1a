import type { CommandContext } from "../command.ts";
import { errorLine } from "../each.ts";
import { connect } from "../session.ts";

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context);
  const [name, newName] = context.args;
  try {
    await client.send("POST", `/containers/${encodeURIComponent(name!)}/rename`, { query: { name: newName } });
    return 0;
  } catch (error) {
    context.stderr.write(`${errorLine(error)}\nError: failed to rename container named ${name}\n`);
    return 1;
  }
}
