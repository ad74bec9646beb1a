import type { CommandContext } from "../../grammar/command.ts";
import { errorLine } from "../../session/each.ts";
import { connect } from "../../session/session.ts";

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
