import { humanSize } from "@fathom/spec";
import type { CommandContext } from "../../grammar/command.ts";
import { filtersQuery } from "../../session/filters.ts";
import { formatList, terminalWidth } from "../../output/list-printer.ts";
import { connect } from "../../session/session.ts";

export interface VolumeSummary {
  readonly Name: string;
  readonly Driver: string;
  readonly Mountpoint: string;
  readonly Scope: string;
  readonly Labels: Readonly<Record<string, string>> | null;
  /** Only in the account of the disk space. */
  readonly UsageData?: { readonly Size: number; readonly RefCount: number } | null;
}

export const volumeHeadings = {
  Name: "VOLUME NAME",
  Driver: "DRIVER",
  Mountpoint: "MOUNTPOINT",
  Scope: "SCOPE",
  Labels: "LABELS",
  Links: "LINKS",
  Size: "SIZE",
  Availability: "AVAILABILITY",
  Group: "GROUP",
  Status: "STATUS",
} as const;

export function volumeFields(volume: VolumeSummary): Readonly<Record<string, unknown>> {
  return {
    Name: volume.Name,
    Driver: volume.Driver,
    Mountpoint: volume.Mountpoint,
    Scope: volume.Scope,
    Labels: Object.entries(volume.Labels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    Label: (key: string): string => new Map(Object.entries(volume.Labels ?? {})).get(key) ?? "",
    Links: volume.UsageData ? String(volume.UsageData.RefCount) : "N/A",
    Size: volume.UsageData ? humanSize(volume.UsageData.Size) : "N/A",
    // Of cluster volumes, which only a swarm has.
    Availability: "N/A",
    Group: "N/A",
    Status: "N/A",
  };
}

export async function run(context: CommandContext): Promise<number> {
  const { flags } = context;
  const client = await connect(context);
  const { Volumes } = await client.json<{ Volumes: readonly VolumeSummary[] | null }>("GET", "/volumes", {
    query: { filters: filtersQuery(flags.list("filter")) },
  });
  const items = (Volumes ?? []).toSorted((a, b) => (a.Name < b.Name ? -1 : 1));
  context.stdout.write(
    formatList(
      { items, fields: volumeFields, headings: volumeHeadings, columns: ["Driver", "Name"], quietField: "Name" },
      { format: flags.string("format"), quiet: flags.bool("quiet"), width: terminalWidth(context) },
    ),
  );
  return 0;
}
