/** docker image inspect and docker history. */
import { parseRfc3339Nano, zeroTime } from "@fathom/base";
import type { HistoryItem, ImageInspect, Platform } from "@fathom/spec";
import { formatPlatform, platformMatches } from "@fathom/spec";
import { EngineError } from "@fathom/base";
import type { ImageRecord, Layer } from "@fathom/store";
import { configOf, findImage, namesOf, type ImageContext } from "./image-context.ts";

/** @throws not-found also when the image there is of another platform than asked for */
export function findForPlatform(context: ImageContext, name: string, platform: Platform | undefined): ImageRecord {
  const record = findImage(context, name);
  if (platform !== undefined) {
    const { os, architecture, variant } = configOf(context, record.id);
    if (!platformMatches(platform, { os, architecture, ...(variant ? { variant } : {}) }))
      throw new EngineError(
        "not-found",
        `image with reference ${name} was found but its platform (${formatPlatform({ os, architecture, ...(variant ? { variant } : {}) })}) does not match the specified platform (${formatPlatform(platform)})`,
      );
  }
  return record;
}

export function inspectImage(context: ImageContext, name: string, platform: Platform | undefined): ImageInspect {
  const record = findForPlatform(context, name, platform);
  const config = configOf(context, record.id);
  const names = namesOf(context, record.id);
  const layers = layersOf(context, record);
  const times = context.store.images.references(record.id).flatMap((one) => context.tagTime(one.name) ?? []);
  const [top, ...lower] = layers.toReversed();
  return {
    Id: record.id,
    ...(record.parent === undefined ? {} : { Parent: record.parent }),
    ...names,
    Comment: config.history?.at(-1)?.comment ?? "",
    ...(config.created === undefined ? {} : { Created: config.created }),
    Author: config.author ?? "",
    Config: config.config ?? {},
    Architecture: config.architecture,
    ...(config.variant ? { Variant: config.variant } : {}),
    Os: config.os,
    Size: record.size,
    ...(top === undefined
      ? {}
      : {
          GraphDriver: {
            Name: "overlay2",
            Data: {
              ...(lower.length > 0 ? { LowerDir: lower.map((layer) => layer.diffPath).join(":") } : {}),
              MergedDir: top.diffPath.replace(/\/diff$/, "/merged"),
              UpperDir: top.diffPath,
              WorkDir: top.diffPath.replace(/\/diff$/, "/work"),
            },
          },
        }),
    RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: times.sort().at(-1) ?? zeroTime },
  };
}

function layersOf(context: ImageContext, record: ImageRecord): Layer[] {
  return record.layers.flatMap((chainId) => context.store.layers.get(chainId) ?? []);
}

/** Newest first. The topmost entries are the image and those that it was committed over; the others are no images of their own. */
export function imageHistory(context: ImageContext, name: string, platform: Platform | undefined): HistoryItem[] {
  const record = findForPlatform(context, name, platform);
  const config = configOf(context, record.id);
  const layers = layersOf(context, record);
  let used = 0;
  const items: HistoryItem[] = (config.history ?? []).map((entry) => ({
    Comment: entry.comment ?? "",
    Created: unixSeconds(entry.created),
    CreatedBy: entry.created_by ?? "",
    Id: "<missing>",
    Size: entry.empty_layer === true ? 0 : (layers[used++]?.size ?? 0),
    Tags: null,
  }));
  // An image whose history does not account for all its layers.
  for (; used < layers.length; used++)
    items.push({ Comment: "", Created: 0, CreatedBy: "", Id: "<missing>", Size: layers[used]!.size, Tags: null });
  let image: ImageRecord | undefined = record;
  return items.toReversed().map((item) => {
    if (image === undefined) return item;
    const { id, parent } = image;
    const { RepoTags } = namesOf(context, id);
    image = parent === undefined ? undefined : context.store.images.get(parent);
    return { ...item, Id: id, Tags: RepoTags.length > 0 ? RepoTags : null };
  });
}

function unixSeconds(time: string | undefined): number {
  return Number(((time === undefined ? undefined : parseRfc3339Nano(time)) ?? 0n) / 1_000_000_000n);
}
