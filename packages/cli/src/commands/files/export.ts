import type { CommandContext } from "../../grammar/command.ts";
import { checkOutput, saveBody } from "../../session/download.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const output = context.flags.string("output");
  checkOutput(context, output, "export container");
  const client = await connect(context);
  const { body } = await client.request("GET", `/containers/${encodeURIComponent(context.args[0]!)}/export`);
  await saveBody(body, output);
  return 0;
}
