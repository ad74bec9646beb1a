/** docker image inspect and docker history. */
import { parseRfc3339Nano, zeroTime } from "@fathom/base";
import type { HistoryEntry, Images } from "@fathom/images";
import type { HistoryItem, ImageInspect, Platform } from "@fathom/spec";
import type { Store } from "@fathom/store";

/** @throws not-found also when the image here is for another platform than the requested one */
export function inspectImage(store: Store, images: Images, name: string, platform: Platform | undefined): ImageInspect {
  const record = images.find(name, platform);
  const config = images.config(record.id);
  const { tags, digests } = images.names(record.id);
  const layers = record.layers.flatMap((chainId) => store.layers.get(chainId) ?? []);
  const [top, ...lower] = layers.toReversed();
  return {
    Id: record.id,
    ...(record.parent === undefined ? {} : { Parent: record.parent }),
    RepoTags: [...tags],
    RepoDigests: [...digests],
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
    Metadata: { LastTagTime: images.lastTagTime(record.id) ?? zeroTime },
  };
}

export function shownHistory(entries: readonly HistoryEntry[]): HistoryItem[] {
  return entries.map(({ created, createdBy, comment, size, image }) => ({
    Comment: comment,
    Created: unixSeconds(created),
    CreatedBy: createdBy,
    Id: image?.id ?? "<missing>",
    Size: size,
    Tags: image === undefined || image.tags.length === 0 ? null : [...image.tags],
  }));
}

function unixSeconds(time: string | undefined): number {
  return Number(((time === undefined ? undefined : parseRfc3339Nano(time)) ?? 0n) / 1_000_000_000n);
}
