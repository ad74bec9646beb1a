import type { CommandContext } from "../../grammar/command.ts";
import { checkOutput, saveBody } from "../../session/download.ts";
import { platformQuery } from "../../session/platform-query.ts";
import { queryText } from "../../session/query-text.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags } = context;
  const output = flags.string("output");
  checkOutput(context, output, "save image");
  const client = await connect(context);
  const query = queryText({ names: context.args, platform: platformQuery(flags.string("platform")) });
  const { body } = await client.request("GET", `/images/get${query}`);
  await saveBody(body, output);
  return 0;
}
