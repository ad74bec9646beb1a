/** docker images: which images, and what is shown of each. */
import { Turns } from "@fathom/base";
import type { ImageListRequest } from "../backend.ts";
import type { Images } from "@fathom/images";
import type { Digest, ImageSummary } from "@fathom/spec";
import type { ImageRecord, Store } from "@fathom/store";
import type { EngineParts } from "../contract.ts";
import { createdAt, listFilters, referenceFilter } from "./image-filters.ts";

interface Listed {
  readonly createdNs: bigint;
  readonly summary: ImageSummary;
}

/** In small turns, because there may be thousands of images. Images that are removed meanwhile are left out. */
export async function listImages(
  parts: EngineParts,
  images: Images,
  request: ImageListRequest,
): Promise<ImageSummary[]> {
  const { filters } = request;
  const tests = listFilters(parts, images, filters);
  const isShown = referenceFilter(filters);
  const shared = request.sharedSize ? layerUsers(images) : undefined;
  const records = images.list();
  const context = { parts, images, shared, listed: new Set(records.map(({ id }) => id)) };
  const found: Listed[] = [];
  const turns = new Turns();
  for (const record of records) {
    await turns.after(0);
    if (parts.store.images.get(record.id) === undefined || !tests.every((test) => test(record))) continue;
    // Images that exist only because another image was committed on top of them.
    if (!request.all && isIntermediate(parts.store, record.id)) continue;
    const { tags, digests } = images.names(record.id);
    const names =
      isShown === undefined ? { tags, digests } : { tags: tags.filter(isShown), digests: digests.filter(isShown) };
    if (isShown !== undefined && names.tags.length === 0 && names.digests.length === 0) continue;
    found.push(summarise(context, record, names));
  }
  return found.sort((a, b) => (a.createdNs < b.createdNs ? 1 : -1)).map(({ summary }) => summary);
}

interface ListContext {
  readonly parts: EngineParts;
  readonly images: Images;
  /** How many images have each layer; absent when nobody asks for shared sizes. */
  readonly shared: ReadonlyMap<string, number> | undefined;
  /** The images that have an entry of their own in the list. */
  readonly listed: ReadonlySet<Digest>;
}

function summarise(
  { parts, images, shared, listed }: ListContext,
  record: ImageRecord,
  names: { readonly tags: readonly string[]; readonly digests: readonly string[] },
): Listed {
  const config = images.config(record.id);
  const createdNs = createdAt(config.created);
  return {
    createdNs,
    summary: {
      Containers: containersOf(parts, record.id, listed),
      Created: Number(createdNs / 1_000_000_000n),
      Id: record.id,
      Labels: config.config?.Labels ?? null,
      ParentId: record.parent ?? "",
      RepoTags: [...names.tags],
      RepoDigests: [...names.digests],
      SharedSize: shared === undefined ? -1 : sharedSize(parts.store, record, shared),
      Size: record.size,
    },
  };
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
