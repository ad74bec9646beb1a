import type { CommandContext } from "../../grammar/command.ts";
import { confirm } from "../../session/confirm.ts";
import { filtersQuery } from "../../session/filters.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const warning = "This will remove all custom networks not used by at least one container.";
  if (!flags.bool("force") && !(await confirm(stdout, warning))) return 0;
  const client = await connect(context);
  const { NetworksDeleted: deleted } = await client.json<{ NetworksDeleted: readonly string[] | null }>(
    "POST",
    "/networks/prune",
    { query: { filters: filtersQuery(flags.list("filter")) } },
  );
  if (deleted !== null && deleted.length > 0) stdout.write(`Deleted Networks:\n${deleted.join("\n")}\n\n`);
  return 0;
}
