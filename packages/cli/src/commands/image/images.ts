import { formatAge } from "@fathom/base";
import type { CommandContext } from "../../grammar/command.ts";
import { filtersQuery } from "../../session/filters.ts";
import { formatList, terminalWidth } from "../../output/list-printer.ts";
import { connect } from "../../session/session.ts";
import { splitTag } from "./tag.ts";
import { humanSize } from "@fathom/spec";

export interface ImageSummary {
  readonly Id: string;
  readonly RepoTags: readonly string[] | null;
  readonly RepoDigests: readonly string[] | null;
  readonly Created: number;
  readonly Size: number;
  readonly SharedSize: number;
  readonly Containers: number;
}

export interface ImageRow {
  readonly image: ImageSummary;
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
}

/** One row per name. An image without a name has one row with <none>. */
export function imageRows(image: ImageSummary, digests: boolean): ImageRow[] {
  const named = (image.RepoTags ?? []).filter((name) => name !== "<none>:<none>").map(splitTag);
  const pairs = (image.RepoDigests ?? [])
    .filter((name) => name !== "<none>@<none>")
    .map((name) => name.split("@") as [string, string]);
  if (named.length === 0) {
    if (pairs.length === 0) return [{ image, repository: "<none>", tag: "<none>", digest: "<none>" }];
    return pairs
      .slice(0, digests ? undefined : 1)
      .map(([repository, digest]) => ({ image, repository, tag: "<none>", digest }));
  }
  return named.map(([repository, tag]) => ({
    image,
    repository,
    tag: tag ?? "<none>",
    digest: pairs.find(([name]) => name === repository)?.[1] ?? "<none>",
  }));
}

export const imageHeadings = {
  ID: "IMAGE ID",
  Repository: "REPOSITORY",
  Tag: "TAG",
  Digest: "DIGEST",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  Size: "SIZE",
  Containers: "CONTAINERS",
  SharedSize: "SHARED SIZE",
  UniqueSize: "UNIQUE SIZE",
} as const;

export function imageFields(
  { image, repository, tag, digest }: ImageRow,
  whole: boolean,
): Readonly<Record<string, unknown>> {
  return {
    ID: whole ? image.Id : image.Id.replace(/^sha256:/, "").slice(0, 12),
    Repository: repository,
    Tag: tag,
    Digest: digest,
    CreatedSince:
      image.Created <= 0
        ? "N/A"
        : `${formatAge(BigInt(Math.max(0, Date.now() - image.Created * 1000)) * 1_000_000n)} ago`,
    CreatedAt: `${new Date(image.Created * 1000).toISOString().replace("T", " ").slice(0, 19)} +0000 UTC`,
    Size: humanSize(image.Size, 3),
    Containers: image.Containers < 0 ? "N/A" : String(image.Containers),
    SharedSize: image.SharedSize < 0 ? "N/A" : humanSize(image.SharedSize),
    UniqueSize: image.SharedSize < 0 ? "N/A" : humanSize(image.Size - image.SharedSize),
    VirtualSize: humanSize(image.Size),
  };
}

export async function run(context: CommandContext): Promise<number> {
  const { flags } = context;
  const client = await connect(context);
  const [reference] = context.args;
  const filters = [...flags.list("filter"), ...(reference === undefined ? [] : [`reference=${reference}`])];
  const images = await client.list<ImageSummary>("GET", "/images/json", {
    query: {
      all: flags.bool("all") ? 1 : undefined,
      digests: flags.bool("digests") ? 1 : undefined,
      filters: filtersQuery(filters),
    },
  });
  const whole = flags.bool("no-trunc");
  const quiet = flags.bool("quiet");
  const columns = ["Repository", "Tag", ...(flags.bool("digests") ? ["Digest"] : []), "ID", "CreatedSince", "Size"];
  const items = images.flatMap((image) => imageRows(image, flags.bool("digests")));
  context.stdout.write(
    formatList(
      { items, fields: (row) => imageFields(row, whole), headings: imageHeadings, columns, quietField: "ID" },
      { format: flags.string("format"), quiet, width: terminalWidth(context) },
    ),
  );
  return 0;
}
