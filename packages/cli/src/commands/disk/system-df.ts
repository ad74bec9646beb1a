import { formatAge } from "@fathom/base";
import { humanSize } from "@fathom/spec";
import { executeTemplate } from "../../output/templates.ts";
import type { CommandContext } from "../../grammar/command.ts";
import { formatList } from "../../output/list-printer.ts";
import { readableApi } from "../../session/inspect-objects.ts";
import { connect } from "../../session/session.ts";
import { containerFields, containerHeadings } from "../container-view/ps.ts";
import { imageFields, imageHeadings, imageRows } from "../image/images.ts";
import { volumeFields, volumeHeadings } from "../volume/volume-ls.ts";
import { cacheSize, reclaimableText, totalsOf, type CacheRecord, type DiskUsage, type Total } from "./usage.ts";

const totalHeadings = {
  Type: "TYPE",
  TotalCount: "TOTAL",
  Active: "ACTIVE",
  Size: "SIZE",
  Reclaimable: "RECLAIMABLE",
} as const;

function totalFields(total: Total): Readonly<Record<string, string>> {
  return {
    Type: total.type,
    TotalCount: String(total.count),
    Active: String(total.active),
    Size: humanSize(total.size),
    Reclaimable: reclaimableText(total),
  };
}

const cacheHeadings = {
  ID: "CACHE ID",
  Parent: "PARENT",
  CacheType: "CACHE TYPE",
  Size: "SIZE",
  CreatedSince: "CREATED",
  LastUsedSince: "LAST USED",
  UsageCount: "USAGE",
  InUse: "IN USE",
  Shared: "SHARED",
  Description: "DESCRIPTION",
} as const;

function since(time: string | null | undefined): string {
  if (time === null || time === undefined || time === "") return "";
  return `${formatAge(BigInt(Math.max(0, Date.now() - Date.parse(time))) * 1_000_000n)} ago`;
}

function cacheFields(record: CacheRecord, whole: boolean): Readonly<Record<string, string>> {
  const short = (id: string): string => (whole ? id : id.slice(0, 12));
  return {
    ID: `${short(record.ID)}${record.InUse ? "*" : ""}`,
    Parent: short((record.Parents ?? []).join(", ")),
    CacheType: record.Type,
    Description: record.Description,
    Size: humanSize(record.Size, 3),
    CreatedAt: record.CreatedAt,
    CreatedSince: since(record.CreatedAt),
    LastUsedAt: record.LastUsedAt ?? "",
    LastUsedSince: since(record.LastUsedAt),
    UsageCount: String(record.UsageCount),
    InUse: String(record.InUse),
    Shared: String(record.Shared),
  };
}

/** All objects. Sizes of containers are without the image's part. */
function detailsOf(
  usage: DiskUsage,
  whole: boolean,
): Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>> {
  const containers = (usage.Containers ?? []).map((container) => ({ ...container, SizeRootFs: 0 }));
  return {
    Images: (usage.Images ?? []).flatMap((image) =>
      imageRows(image, false)
        .slice(0, 1)
        .map((row) => imageFields(row, whole)),
    ),
    Containers: containers.map((container) => containerFields(container, whole)),
    Volumes: (usage.Volumes ?? []).map(volumeFields),
    BuildCache: (usage.BuildCache ?? []).map((record) => cacheFields(record, whole)),
  };
}

const sections = [
  {
    title: () => "Images space usage:",
    key: "Images",
    headings: imageHeadings,
    columns: ["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"],
  },
  {
    title: () => "\nContainers space usage:",
    key: "Containers",
    headings: containerHeadings,
    columns: ["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"],
  },
  {
    title: () => "\nLocal Volumes space usage:",
    key: "Volumes",
    headings: volumeHeadings,
    columns: ["Name", "Links", "Size"],
  },
  {
    title: (usage: DiskUsage) => `\nBuild cache usage: ${humanSize(cacheSize(usage.BuildCache ?? []))}`,
    key: "BuildCache",
    headings: cacheHeadings,
    columns: ["ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"],
  },
] as const;

function verboseTables(usage: DiskUsage): string {
  const details = detailsOf(usage, false);
  return sections
    .map(({ title, key, headings, columns }) => {
      const rows = formatList(
        { items: details[key] ?? [], fields: (row) => row, headings, columns, quietField: "ID" },
        { format: "", quiet: false },
      );
      return `${title(usage)}\n\n${rows}`;
    })
    .join("");
}

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const format = flags.string("format");
  const client = await connect(context);
  // Newer versions of the API give totals of their own, and the objects only when asked.
  const usage = await client.json<DiskUsage>("GET", `${readableApi}/system/df`);
  if (flags.bool("verbose")) {
    stdout.write(
      format === "" || format === "table" ? verboseTables(usage) : executeTemplate(format, detailsOf(usage, true)),
    );
    return 0;
  }
  stdout.write(
    formatList(
      {
        items: totalsOf(usage),
        fields: totalFields,
        headings: totalHeadings,
        columns: ["Type", "TotalCount", "Active", "Size", "Reclaimable"],
        quietField: "Type",
      },
      { format, quiet: false },
    ),
  );
  return 0;
}
