import { formatAge } from "@fathom/base";
import type { CommandContext } from "../../grammar/command.ts";
import { filtersQuery } from "../../session/filters.ts";
import { ellipsis } from "../../output/format.ts";
import { formatList, terminalWidth } from "../../output/list-printer.ts";
import { portsText } from "../../output/ports-text.ts";
import { connect } from "../../session/session.ts";
import { humanSize, type PortSummary } from "@fathom/spec";

export interface ContainerSummary {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Image: string;
  readonly ImageID: string;
  readonly Command: string;
  readonly Created: number;
  readonly Ports: readonly PortSummary[] | null;
  readonly Labels: Readonly<Record<string, string>> | null;
  readonly State: string;
  readonly Status: string;
  readonly SizeRw?: number;
  readonly SizeRootFs?: number;
  readonly Mounts: readonly { Type: string; Name?: string; Source: string }[] | null;
  readonly ImageManifestDescriptor?: { readonly platform?: Readonly<Record<string, unknown>> } | null;
  readonly NetworkSettings?: { readonly Networks: Readonly<Record<string, unknown>> | null } | null;
}

export const containerHeadings = {
  ID: "CONTAINER ID",
  Image: "IMAGE",
  Command: "COMMAND",
  CreatedAt: "CREATED AT",
  RunningFor: "CREATED",
  Status: "STATUS",
  State: "STATE",
  Ports: "PORTS",
  Names: "NAMES",
  Size: "SIZE",
  Labels: "LABELS",
  Mounts: "MOUNTS",
  LocalVolumes: "LOCAL VOLUMES",
  Networks: "NETWORKS",
  Platform: "PLATFORM",
} as const;

/** "2026-01-02 15:04:05 +0000 UTC", Go's default form. */
function goTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  const zone = -date.getTimezoneOffset();
  const local = new Date(date.getTime() + zone * 60_000).toISOString();
  const offset = `${zone < 0 ? "-" : "+"}${String(Math.floor(Math.abs(zone) / 60)).padStart(2, "0")}${String(Math.abs(zone) % 60).padStart(2, "0")}`;
  return `${local.slice(0, 10)} ${local.slice(11, 19)} ${offset} ${zone === 0 ? "UTC" : offset}`;
}

export function containerFields(item: ContainerSummary, whole: boolean): Readonly<Record<string, unknown>> {
  const labels = item.Labels ?? {};
  const mounts = (item.Mounts ?? []).map((mount) => mount.Name ?? mount.Source);
  const size = humanSize(item.SizeRw ?? 0, 3);
  return {
    ID: whole ? item.Id : item.Id.slice(0, 12),
    Names: item.Names.map((name) => name.replace(/^\//, ""))
      .filter((name) => !name.includes("/"))
      .join(","),
    Image:
      item.Image === ""
        ? "<no image>"
        : whole
          ? item.Image
          : item.Image.replace(/^sha256:([0-9a-f]{12})[0-9a-f]*$/, "$1"),
    Command: JSON.stringify(whole ? item.Command : ellipsis(item.Command, 20)),
    CreatedAt: goTime(item.Created),
    RunningFor: `${formatAge(BigInt(Math.max(0, Date.now() - item.Created * 1000)) * 1_000_000n)} ago`,
    Status: item.Status,
    State: item.State,
    Ports: portsText(item.Ports ?? []),
    Size: (item.SizeRootFs ?? 0) > 0 ? `${size} (virtual ${humanSize(item.SizeRootFs!, 3)})` : size,
    Labels: Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .toSorted()
      .join(","),
    Label: (key: string): string => new Map(Object.entries(labels)).get(key) ?? "",
    Mounts: mounts.map((name) => (whole ? name : ellipsis(name, 15))).join(","),
    LocalVolumes: String((item.Mounts ?? []).filter((mount) => mount.Type === "volume").length),
    Networks: Object.keys(item.NetworkSettings?.Networks ?? {})
      .toSorted()
      .join(","),
    Platform: item.ImageManifestDescriptor?.platform ?? null,
  };
}

export async function run(context: CommandContext): Promise<number> {
  const { flags } = context;
  const client = await connect(context);
  const format = flags.string("format");
  const last = flags.bool("latest") ? 1 : flags.int("last");
  const size = flags.bool("size") || /\.Size\b/.test(format);
  const items = await client.list<ContainerSummary>("GET", "/containers/json", {
    query: {
      all: flags.bool("all") ? 1 : undefined,
      limit: last > 0 ? last : undefined,
      size: size ? 1 : undefined,
      filters: filtersQuery(flags.list("filter")),
    },
  });
  const whole = flags.bool("no-trunc");
  const columns = [
    "ID",
    "Image",
    "Command",
    "RunningFor",
    "Status",
    "Ports",
    "Names",
    ...(flags.bool("size") ? ["Size"] : []),
  ];
  context.stdout.write(
    formatList(
      { items, fields: (item) => containerFields(item, whole), headings: containerHeadings, columns, quietField: "ID" },
      { format, quiet: flags.bool("quiet"), width: terminalWidth(context) },
    ),
  );
  return 0;
}
