/** docker images: which images, and what is shown of each. */
import type { ImageListRequest } from "../backend.ts";
import type { Images } from "@fathom/images";
import type { Digest, ImageSummary } from "@fathom/spec";
import type { ImageRecord, Store } from "@fathom/store";
import type { EngineParts } from "../contract.ts";
import { createdAt, listFilters, referenceFilter } from "./image-filters.ts";

export function listImages(parts: EngineParts, images: Images, request: ImageListRequest): ImageSummary[] {
  const { filters } = request;
  const tests = listFilters(parts, images, filters);
  const isShown = referenceFilter(filters);
  const shared = request.sharedSize ? layerUsers(images) : undefined;
  const summaries: { readonly createdNs: bigint; readonly summary: ImageSummary }[] = [];
  const records = images.list();
  const listed = new Set(records.map(({ id }) => id));
  for (const record of records) {
    if (!tests.every((test) => test(record))) continue;
    const names = images.names(record.id);
    const RepoTags = names.tags.filter(isShown ?? (() => true));
    const RepoDigests = names.digests.filter(isShown ?? (() => true));
    if (isShown !== undefined && RepoTags.length === 0 && RepoDigests.length === 0) continue;
    // Images that exist only because another image was committed on top of them.
    if (!request.all && isIntermediate(parts.store, record.id)) continue;
    const config = images.config(record.id);
    const createdNs = createdAt(config.created);
    summaries.push({
      createdNs,
      summary: {
        Containers: containersOf(parts, record.id, listed),
        Created: Number(createdNs / 1_000_000_000n),
        Id: record.id,
        Labels: config.config?.Labels ?? null,
        ParentId: record.parent ?? "",
        RepoTags,
        RepoDigests,
        SharedSize: shared === undefined ? -1 : sharedSize(parts.store, record, shared),
        Size: record.size,
      },
    });
  }
  return summaries.sort((a, b) => (a.createdNs < b.createdNs ? 1 : -1)).map(({ summary }) => summary);
}

/** The number of containers that use the image, or an image of another platform that has one of its names and no entry of its own in the list. */
function containersOf({ store, uses }: EngineParts, id: Digest, listed: ReadonlySet<Digest>): number {
  const behind = store.images.names(id).flatMap(({ images }) => images.filter((other) => !listed.has(other)));
  return new Set([id, ...behind].flatMap((image) => uses.ofImage(image).map((user) => user.id))).size;
}

function isIntermediate(store: Store, id: Digest): boolean {
  const { images } = store;
  return images.names(id).length === 0 && images.children(id).length > 0;
}

/** How many images have each layer. */
function layerUsers(images: Images): Map<string, number> {
  const users = new Map<string, number>();
  for (const record of images.list()) for (const layer of record.layers) users.set(layer, (users.get(layer) ?? 0) + 1);
  return users;
}

function sharedSize(store: Store, record: ImageRecord, users: ReadonlyMap<string, number>): number {
  return record.layers.reduce(
    (sum, layer) => sum + ((users.get(layer) ?? 0) > 1 ? (store.layers.get(layer)?.size ?? 0) : 0),
    0,
  );
}
