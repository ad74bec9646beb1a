/** What a prune removes: selected images that nothing needs. */
import { isEngineError } from "@fathom/base";
import { canonicalString } from "@fathom/spec";
import type { ImageRecord } from "@fathom/store";
import type { ImageContext } from "../context.ts";
import type { PruneResult, RemovedPart } from "../contract.ts";
import { namesOf, removeImage } from "./remove.ts";

export async function pruneImages(
  context: ImageContext,
  wanted: (image: ImageRecord) => boolean,
): Promise<PruneResult> {
  const removed: RemovedPart[] = [];
  const before = new Map(context.store.layers.list().map((layer) => [layer.chainId as string, layer.size]));
  for (const record of context.store.images.list()) {
    const { id } = record;
    // An earlier one may have removed it too.
    if (context.store.images.get(id) === undefined) continue;
    const names = namesOf(context, id);
    if (names.length === 0 && context.store.images.children(id).length > 0) continue;
    if (!wanted(record)) continue;
    // One name after another: of an image in use all names except the last are removed.
    const asked = names.length === 0 ? [id.slice("sha256:".length)] : names.map((name) => canonicalString(name));
    for (const name of asked) {
      try {
        removed.push(...(await removeImage(context, name, { force: false, noPrune: false })));
      } catch (error) {
        // In use, or removed meanwhile.
        if (!isEngineError(error, "conflict") && !isEngineError(error, "not-found")) throw error;
      }
    }
  }
  // Also everything that belongs to no image: blobs of failed pulls, kept for the next try.
  const { reclaimedBytes: collected } = await context.store.collector.collect();
  const reclaimedBytes = removed.reduce(
    (sum, part) => sum + (part.kind === "layer" ? (before.get(part.chainId) ?? 0) : 0),
    collected,
  );
  context.publish("prune", "", { reclaimed: String(reclaimedBytes) });
  return { removed, reclaimedBytes };
}
