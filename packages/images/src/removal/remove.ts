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
  type Digest,
  type Reference,
} from "@fathom/spec";
import type { ImageRecord } from "@fathom/store";
import type { ImageContext } from "../context.ts";
import type { RemovedPart } from "../contract.ts";
import { findImage, isIdPrefix } from "../names/find.ts";
import { publishImage } from "../names/names.ts";

export async function removeImage(
  context: ImageContext,
  name: string,
  options: { readonly force: boolean; readonly noPrune: boolean },
): Promise<RemovedPart[]> {
  const record = findImage(context, name);
  const { id } = record;
  const items: RemovedPart[] = [];
  let untaggedByName = false;
  if (isIdPrefix(context, id, name)) {
    if (isSingleName(namesOf(context, id))) {
      const conflict = findConflict(context, id, options.force, false);
      if (conflict !== undefined) throw conflict;
      for (const reference of namesOf(context, id)) untag(context, id, reference, items);
    }
  } else {
    const given = tryParseReference(name)!;
    const reference = given.digest === undefined ? withDefaultTag(given) : withDigest(given, given.digest);
    const user = context.uses.ofImage(id)[0];
    if (!options.force && isSingleName(namesOf(context, id)) && user !== undefined)
      throw new EngineError(
        "conflict",
        `conflict: unable to remove repository reference ${JSON.stringify(name)} (must force) - container ${shortId(user.id)} is using its referenced image ${shownId(id)}`,
      );
    untag(context, id, reference, items);
    dropDigestsOf(context, id, reference, items);
    if (namesOf(context, id).length > 0) return items;
    untaggedByName = true;
  }
  const conflict = findConflict(context, id, options.force, true);
  if (conflict !== undefined) {
    // The name is gone, as asked; the image stays for what uses it.
    if (untaggedByName) return items;
    throw conflict;
  }
  for (const reference of namesOf(context, id)) untag(context, id, reference, items);
  await deleteImages(context, withAncestors(context, record, options.noPrune), items);
  return items;
}

/** The image, and behind it those that it was committed over and that nothing else needs: nobody could name them afterwards. */
function withAncestors(context: ImageContext, record: ImageRecord, noPrune: boolean): ImageRecord[] {
  const records = [record];
  for (let child = record; !noPrune && child.parent !== undefined;) {
    const { images } = context.store;
    const parent = images.get(child.parent);
    const isNeeded =
      parent === undefined ||
      images.references(parent.id).length > 0 ||
      images.children(parent.id).some((id) => id !== child.id) ||
      context.uses.ofImage(parent.id).length > 0;
    if (isNeeded) break;
    records.push(parent);
    child = parent;
  }
  return records;
}

/** Rows, layers and blobs of images without names, children before their parents. */
async function deleteImages(
  context: ImageContext,
  records: readonly ImageRecord[],
  items: RemovedPart[],
): Promise<void> {
  context.store.database.transaction(() => {
    for (const { id } of records) {
      publishImage(context, "delete", id, id);
      context.store.images.remove(id);
    }
  });
  const collected = await context.store.collect();
  const left = new Set<string>(collected.layers);
  for (const { id, layers } of records) {
    items.push({ kind: "image", id });
    for (const layer of layers.toReversed()) if (left.delete(layer)) items.push({ kind: "layer", chainId: layer });
  }
}

export function namesOf(context: ImageContext, id: Digest): Reference[] {
  return context.store.images.references(id).map(({ name }) => parseReference(name));
}

function untag(context: ImageContext, id: Digest, reference: Reference, items: RemovedPart[]): void {
  if (!context.store.images.untag(canonicalString(reference)))
    throw new EngineError("not-found", `No such image: ${familiarString(reference)}`);
  items.push({ kind: "name", name: familiarString(reference) });
  publishImage(context, "untag", id, id);
}

/** With a repository's last tag its digests go too: nobody could name them otherwise. Only the tag is an event. */
function dropDigestsOf(context: ImageContext, id: Digest, reference: Reference, items: RemovedPart[]): void {
  if (reference.digest !== undefined) return;
  const same = namesOf(context, id).filter((one) => canonicalName(one) === canonicalName(reference));
  if (same.some((one) => one.digest === undefined)) return;
  for (const one of same) {
    context.store.images.untag(canonicalString(one));
    items.push({ kind: "name", name: familiarString(one) });
  }
}

/** At most one tag, and all names of one repository. */
function isSingleName(names: readonly Reference[]): boolean {
  return (
    names.length <= 1 ||
    (names.filter((one) => one.digest === undefined).length <= 1 &&
      new Set(names.map((one) => canonicalName(one))).size === 1)
  );
}

/** What stands against a removal: an image on top of it or a running container always, a stopped one or several names unless forced. */
function findConflict(context: ImageContext, id: Digest, force: boolean, names: boolean): EngineError | undefined {
  const conflict = (mustForce: boolean, reason: string): EngineError =>
    new EngineError(
      "conflict",
      `conflict: unable to delete ${shownId(id)} (${mustForce ? "must" : "cannot"} be forced) - ${reason}`,
    );
  if (context.store.images.children(id).length > 0) return conflict(false, "image has dependent child images");
  const users = context.uses.ofImage(id);
  const running = users.find((user) => user.running);
  if (running !== undefined) return conflict(false, `image is being used by running container ${shortId(running.id)}`);
  if (force) return undefined;
  if (names && namesOf(context, id).length > 0) return conflict(true, "image is referenced in multiple repositories");
  const stopped = users[0];
  return stopped === undefined
    ? undefined
    : conflict(true, `image is being used by stopped container ${shortId(stopped.id)}`);
}

function shownId(id: Digest): string {
  return shortId(id.slice("sha256:".length));
}
