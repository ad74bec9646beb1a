import type { CommandContext } from "../../grammar/command.ts";
import { connect } from "../../session/session.ts";
import { topTable } from "../../output/top-table.ts";

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context);
  const [name, ...psArguments] = context.args;
  const top = await client.json<{ Titles: readonly string[]; Processes: readonly (readonly string[])[] }>(
    "GET",
    `/containers/${encodeURIComponent(name!)}/top`,
    {
      query: { ps_args: psArguments.length === 0 ? undefined : psArguments.join(" ") },
    },
  );
  context.stdout.write(topTable([top.Titles, ...top.Processes]));
  return 0;
}
