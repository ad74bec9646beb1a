/** The removal of images and of their names. */
import { EngineError, shortId } from "@fathom/base";
import {
  canonicalName,
  canonicalString,
  familiarString,
  parseReference,
  tryParseReference,
  withDefaultTag,
  withDigest,
  type ChainId,
  type Digest,
  type Reference,
} from "@fathom/spec";
import type { ImageRecord } from "@fathom/store";
import type { ImageContext } from "../context.ts";
import type { ImageUser, RemovedPart } from "../contract.ts";
import { findImage, isIdPrefix } from "../names/find.ts";
import { publishImage } from "../names/names.ts";

/** What a removal took out of the database: names, and images whose layers and blobs the next collection removes. */
export type TakenPart = Extract<RemovedPart, { readonly kind: "name" }> | TakenImage;

interface TakenImage {
  readonly kind: "image";
  readonly record: ImageRecord;
}

export interface RemoveOptions {
  readonly force: boolean;
  readonly noPrune: boolean;
}

export async function removeImage(context: ImageContext, name: string, options: RemoveOptions): Promise<RemovedPart[]> {
  const taken = takeImage(context, name, options);
  // A name alone leaves nothing to collect.
  if (!taken.some(({ kind }) => kind === "image")) return removedParts([taken], []);
  const { layers } = await context.store.collector.collect();
  return removedParts([taken], layers);
}

/**
 * What several removals and one collection after them removed. A layer belongs to the last removal whose images had it; in a removal, to the
 * first image that had it.
 */
export function removedParts(removals: readonly (readonly TakenPart[])[], layers: readonly ChainId[]): RemovedPart[] {
  const left = new Set<ChainId>(layers);
  const withLayers = (part: TakenPart): RemovedPart[] => {
    if (part.kind === "name") return [part];
    const { id, layers } = part.record;
    const own = layers.toReversed().filter((layer) => left.delete(layer));
    return [{ kind: "image", id }, ...own.map((chainId): RemovedPart => ({ kind: "layer", chainId }))];
  };
  return removals
    .toReversed()
    .map((taken) => taken.flatMap(withLayers))
    .toReversed()
    .flat();
}

/** Removes names and images from the database. @throws as `Images.remove` */
export function takeImage(context: ImageContext, name: string, options: RemoveOptions): TakenPart[] {
  const record = findImage(context, name);
  const { id } = record;
  const parts: readonly [Digest, ...Digest[]] = [id, ...heldBehind(context, id)];
  const items: TakenPart[] = [];
  let untaggedByName = false;
  if (isIdPrefix(context, id, name)) {
    if (isSingleName(namesOf(context, id))) {
      const conflict = findConflict(context, parts, options.force, false);
      if (conflict !== undefined) throw conflict;
      for (const reference of namesOf(context, id)) untag(context, id, reference, items);
    }
  } else {
    const given = tryParseReference(name)!;
    const reference = given.digest === undefined ? withDefaultTag(given) : withDigest(given, given.digest);
    const used = usesOf(context, parts)[0];
    if (!options.force && isSingleName(namesOf(context, id)) && used !== undefined)
      throw new EngineError(
        "conflict",
        `conflict: unable to remove repository reference ${JSON.stringify(name)} (must force) - container ${shortId(used.user.id)} is using its referenced image ${shownId(used.image)}`,
      );
    const held = new Set(context.store.images.names(id).flatMap((named) => named.images));
    untag(context, id, reference, items);
    dropDigestsOf(context, id, reference, items);
    if (namesOf(context, id).length > 0) {
      const unneeded = [...held].filter((part) => part !== id && isUnneeded(context, part));
      if (unneeded.length > 0) deleteImages(context, recordsOf(context, unneeded), items);
      return items;
    }
    untaggedByName = true;
  }
  const conflict = findConflict(context, parts, options.force, true);
  if (conflict !== undefined) {
    // The name is removed, as requested; the image stays for its users.
    if (untaggedByName) return items;
    throw conflict;
  }
  for (const reference of namesOf(context, id)) untag(context, id, reference, items);
  const behind = recordsOf(context, parts.slice(1));
  deleteImages(context, [...withAncestors(context, record, options.noPrune), ...behind], items);
  return items;
}

/** Other platforms that are only stored because the names of this image hold them too: they are removed with it. */
function heldBehind(context: ImageContext, id: Digest): Digest[] {
  const { images } = context.store;
  const names = images.names(id);
  const own = new Set(names.map(({ name }) => name));
  const others = new Set(names.flatMap((named) => named.images).filter((other) => other !== id));
  return [...others].filter((other) => images.names(other).every(({ name }) => own.has(name)));
}

function recordsOf(context: ImageContext, ids: readonly Digest[]): ImageRecord[] {
  return ids.flatMap((id) => context.store.images.get(id) ?? []);
}

function isUnneeded({ store: { images }, uses }: ImageContext, id: Digest): boolean {
  return images.names(id).length === 0 && images.children(id).length === 0 && uses.ofImage(id).length === 0;
}

interface Use {
  readonly image: Digest;
  readonly user: ImageUser;
}

function usesOf(context: ImageContext, parts: readonly Digest[]): Use[] {
  return parts.flatMap((image) => context.uses.ofImage(image).map((user) => ({ image, user })));
}

/** The image, and then the images under it that nothing else needs, because nobody could name them afterwards. */
function withAncestors(context: ImageContext, record: ImageRecord, noPrune: boolean): ImageRecord[] {
  const records = [record];
  for (let child = record; !noPrune && child.parent !== undefined;) {
    const { images } = context.store;
    const parent = images.get(child.parent);
    const isNeeded =
      parent === undefined ||
      images.names(parent.id).length > 0 ||
      images.children(parent.id).some((id) => id !== child.id) ||
      context.uses.ofImage(parent.id).length > 0;
    if (isNeeded) break;
    records.push(parent);
    child = parent;
  }
  return records;
}

/** Rows of images without names, children before their parents. */
function deleteImages(context: ImageContext, records: readonly ImageRecord[], items: TakenPart[]): void {
  context.store.database.transaction(() => {
    for (const { id } of records) {
      publishImage(context, "delete", id, id);
      context.store.images.remove(id);
    }
  });
  for (const record of records) items.push({ kind: "image", record });
}

export function namesOf(context: ImageContext, id: Digest): Reference[] {
  return context.store.images.names(id).map(({ name }) => parseReference(name));
}

function untag(context: ImageContext, id: Digest, reference: Reference, items: TakenPart[]): void {
  if (!context.store.images.untag(canonicalString(reference)))
    throw new EngineError("not-found", `No such image: ${familiarString(reference)}`);
  items.push({ kind: "name", name: familiarString(reference) });
  publishImage(context, "untag", id, id);
}

/** With a repository's last tag, its names by digest are removed too, because nobody could name them otherwise. Only the tag has an event. */
function dropDigestsOf(context: ImageContext, id: Digest, reference: Reference, items: TakenPart[]): void {
  if (reference.digest !== undefined) return;
  const same = namesOf(context, id).filter((one) => canonicalName(one) === canonicalName(reference));
  if (same.some((one) => one.digest === undefined)) return;
  for (const one of same) {
    context.store.images.untag(canonicalString(one));
    items.push({ kind: "name", name: familiarString(one) });
  }
}

/** At most one tag, and all names are of one repository. */
function isSingleName(names: readonly Reference[]): boolean {
  return (
    names.length <= 1 ||
    (names.filter((one) => one.digest === undefined).length <= 1 &&
      new Set(names.map((one) => canonicalName(one))).size === 1)
  );
}

/** What prevents a removal: an image on top of it or a running container always; a stopped container or several names unless it is forced. */
function findConflict(
  context: ImageContext,
  parts: readonly [Digest, ...Digest[]],
  force: boolean,
  names: boolean,
): EngineError | undefined {
  const [id] = parts;
  const conflict = (mustForce: boolean, reason: string, image = id): EngineError =>
    new EngineError(
      "conflict",
      `conflict: unable to delete ${shownId(image)} (${mustForce ? "must" : "cannot"} be forced) - ${reason}`,
    );
  const based = parts.find((part) => context.store.images.children(part).length > 0);
  if (based !== undefined) return conflict(false, "image has dependent child images", based);
  const uses = usesOf(context, parts);
  const running = uses.find(({ user }) => user.running);
  if (running !== undefined)
    return conflict(false, `image is being used by running container ${shortId(running.user.id)}`, running.image);
  if (force) return undefined;
  if (names && namesOf(context, id).length > 0) return conflict(true, "image is referenced in multiple repositories");
  const stopped = uses[0];
  return stopped === undefined
    ? undefined
    : conflict(true, `image is being used by stopped container ${shortId(stopped.user.id)}`, stopped.image);
}

function shownId(id: Digest): string {
  return shortId(id.slice("sha256:".length));
}
