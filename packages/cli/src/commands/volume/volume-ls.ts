import type { CommandContext } from "../../grammar/command.ts";
import { filtersQuery } from "../../session/filters.ts";
import { formatList } from "../../output/list-printer.ts";
import { connect } from "../../session/session.ts";

interface Volume {
  readonly Name: string;
  readonly Driver: string;
  readonly Mountpoint: string;
  readonly Scope: string;
  readonly Labels: Readonly<Record<string, string>> | null;
}

const headings = {
  Name: "VOLUME NAME",
  Driver: "DRIVER",
  Mountpoint: "MOUNTPOINT",
  Scope: "SCOPE",
  Labels: "LABELS",
} as const;

export async function run(context: CommandContext): Promise<number> {
  const { flags } = context;
  const client = await connect(context);
  const { Volumes } = await client.json<{ Volumes: readonly Volume[] | null }>("GET", "/volumes", {
    query: { filters: filtersQuery(flags.list("filter")) },
  });
  const items = (Volumes ?? []).toSorted((a, b) => (a.Name < b.Name ? -1 : 1));
  const fields = (volume: Volume): Readonly<Record<string, unknown>> => ({
    Name: volume.Name,
    Driver: volume.Driver,
    Mountpoint: volume.Mountpoint,
    Scope: volume.Scope,
    Labels: Object.entries(volume.Labels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    Label: (key: string): string => new Map(Object.entries(volume.Labels ?? {})).get(key) ?? "",
  });
  context.stdout.write(
    formatList(
      { items, fields, headings, columns: ["Driver", "Name"], quietField: "Name" },
      { format: flags.string("format"), quiet: flags.bool("quiet") },
    ),
  );
  return 0;
}
