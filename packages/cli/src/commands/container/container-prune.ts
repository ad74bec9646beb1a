import type { CommandContext } from "../../grammar/command.ts";
import { confirm } from "../../session/confirm.ts";
import { filtersQuery } from "../../session/filters.ts";
import { connect } from "../../session/session.ts";
import { humanSize } from "@fathom/spec";

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  if (!flags.bool("force") && !(await confirm(stdout, "This will remove all stopped containers."))) return 0;
  const client = await connect(context);
  const report = await client.json<{ ContainersDeleted: readonly string[] | null; SpaceReclaimed: number }>(
    "POST",
    "/containers/prune",
    { query: { filters: filtersQuery(flags.list("filter")) } },
  );
  const deleted = report.ContainersDeleted ?? [];
  if (deleted.length > 0) stdout.write(`Deleted Containers:\n${deleted.join("\n")}\n\n`);
  stdout.write(`Total reclaimed space: ${humanSize(report.SpaceReclaimed)}\n`);
  return 0;
}
