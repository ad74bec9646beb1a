import type { CommandContext } from "../command.ts";
import { createContainer } from "../create-container.ts";
import { connect } from "../session.ts";

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context);
  const { id } = await createContainer(client, context, false);
  context.stdout.write(`${id}\n`);
  return 0;
}
