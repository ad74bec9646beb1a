import type { CommandContext } from "../../grammar/command.ts";
import { createContainer } from "../../session/create-container.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context);
  const { id } = await createContainer(client, context, false);
  context.stdout.write(`${id}\n`);
  return 0;
}
