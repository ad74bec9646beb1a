import type { CommandContext } from "../../grammar/command.ts";
import { confirm } from "../../session/confirm.ts";
import { filtersQuery } from "../../session/filters.ts";
import { connect } from "../../session/session.ts";
import { humanSize } from "@fathom/spec";

interface Report {
  readonly ImagesDeleted: readonly { readonly Untagged?: string; readonly Deleted?: string }[] | null;
  readonly SpaceReclaimed: number;
}

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const all = flags.bool("all");
  const warning = all
    ? "This will remove all images without a container."
    : "This will remove all images without a name.";
  if (!flags.bool("force") && !(await confirm(stdout, warning))) return 0;
  const client = await connect(context);
  const filters = filtersQuery([`dangling=${!all}`, ...flags.list("filter")]);
  const report = await client.json<Report>("POST", "/images/prune", { query: { filters } });
  const items = report.ImagesDeleted ?? [];
  const lines = items.map(({ Untagged, Deleted }) =>
    Deleted === undefined ? `untagged: ${Untagged}` : `deleted: ${Deleted}`,
  );
  if (lines.length > 0) stdout.write(`Deleted Images:\n${lines.join("\n")}\n\n`);
  stdout.write(`Total reclaimed space: ${humanSize(report.SpaceReclaimed)}\n`);
  return 0;
}
