/** How an image was made, step by step. */
import type { Platform } from "@fathom/spec";
import type { ImageRecord } from "@fathom/store";
import { configOf, type ImageContext } from "./context.ts";
import type { HistoryEntry } from "./contract.ts";
import { findForPlatform, shownNames } from "./names/find.ts";

/** Newest first. The topmost entries are the image and the images under it; the others are no images of their own. */
export function imageHistory(context: ImageContext, name: string, platform: Platform | undefined): HistoryEntry[] {
  const record = findForPlatform(context, name, platform);
  const sizes = record.layers.flatMap((chainId) => context.store.layers.get(chainId)?.size ?? []);
  let used = 0;
  const entries = (configOf(context, record.id).history ?? []).map((entry) => ({
    created: entry.created,
    createdBy: entry.created_by ?? "",
    comment: entry.comment ?? "",
    size: entry.empty_layer === true ? 0 : (sizes[used++] ?? 0),
  }));
  // The image's history does not explain all its layers.
  for (; used < sizes.length; used++)
    entries.push({ created: undefined, createdBy: "", comment: "", size: sizes[used]! });
  let image: ImageRecord | undefined = record;
  return entries.toReversed().map((entry) => {
    if (image === undefined) return { ...entry, image };
    const { id, parent } = image;
    image = parent === undefined ? undefined : context.store.images.get(parent);
    return { ...entry, image: { id, tags: shownNames(context, id).tags } };
  });
}
