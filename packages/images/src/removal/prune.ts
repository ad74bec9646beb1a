/** What a prune removes: selected images that nothing needs. */
import { isEngineError, Turns } from "@fathom/base";
import { canonicalString, type Digest } from "@fathom/spec";
import type { ImageRecord } from "@fathom/store";
import type { ImageContext } from "../context.ts";
import type { PruneResult } from "../contract.ts";
import { namesOf, removedParts, takeImage, type TakenPart } from "./remove.ts";

/** The same work as parsing this many bytes. */
const bytesOfRemoval = 64 * 1024;

/** Rows go first, and other work has its turn between two images. One collection after that removes their layers and blobs. */
export async function pruneImages(
  context: ImageContext,
  wanted: (image: ImageRecord) => boolean,
): Promise<PruneResult> {
  const { collector } = context.store;
  const sizes = blobsOfImages(context);
  const removals: TakenPart[][] = [];
  try {
    await takeWanted(context, wanted, removals);
  } catch (error) {
    await collector.collect();
    throw error;
  }
  const collected = await collector.collect();
  // Of an image, the bytes of its layers count. Everything counts that belonged to no image: blobs of failed pulls, kept for the next try.
  const reclaimedBytes = collected.blobs.reduce(
    (sum, digest) => sum - (sizes.get(digest) ?? 0),
    collected.reclaimedBytes,
  );
  context.publish("prune", "", { reclaimed: String(reclaimedBytes) });
  return { removed: removedParts(removals, collected.layers), reclaimedBytes };
}

async function takeWanted(
  context: ImageContext,
  wanted: (image: ImageRecord) => boolean,
  removals: TakenPart[][],
): Promise<void> {
  const { images } = context.store;
  const turns = new Turns();
  for (const record of images.list()) {
    await turns.after(bytesOfRemoval);
    const { id } = record;
    // An earlier one, or somebody else, may have removed it too.
    if (images.get(id) === undefined) continue;
    const names = namesOf(context, id);
    if (names.length === 0 && images.children(id).length > 0) continue;
    if (!wanted(record)) continue;
    // One name after another: of an image in use all names except the last are removed.
    const asked = names.length === 0 ? [id.slice("sha256:".length)] : names.map((name) => canonicalString(name));
    for (const name of asked) {
      try {
        removals.push(takeImage(context, name, { force: false, noPrune: false }));
      } catch (error) {
        // In use, or removed meanwhile.
        if (!isEngineError(error, "conflict") && !isEngineError(error, "not-found")) throw error;
      }
    }
  }
}

/** Blobs that belong to an image, with their sizes. */
function blobsOfImages({ store: { content, images } }: ImageContext): ReadonlyMap<Digest, number> {
  const names = images.names();
  const ids = new Set([...images.list().map(({ id }) => id), ...names.flatMap((name) => name.images)]);
  const owned = new Set<Digest>(names.flatMap(({ target, content }) => [target.digest, ...content]));
  for (const id of ids) {
    const { blobs = [], manifests = [] } = images.get(id) ?? {};
    for (const digest of [id, ...blobs, ...manifests]) owned.add(digest);
  }
  return new Map(content.list().flatMap(({ digest, size }) => (owned.has(digest) ? [[digest, size]] : [])));
}
