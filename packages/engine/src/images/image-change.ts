/** Names of images, their removal, and what a prune takes. */
import { EngineError, isEngineError, shortId } from "@fathom/base";
import {
  canonicalName,
  canonicalString,
  familiarName,
  familiarString,
  parseReference,
  refuseAsTag,
  tryParseReference,
  withDefaultTag,
  withDigest,
  withTag,
  type Digest,
  type Filters,
  type ImageDeleteItem,
  type PruneReport,
  type Reference,
} from "@fathom/spec";
import type { ImageRecord } from "@fathom/store";
import { checkFilterKeys, filterValues, hasLabel, matchesLabels } from "../filters.ts";
import { configOf, findImage, isIdPrefix, type ImageContext } from "./image-context.ts";
import { booleanFilter, createdAt, isDangling, untilFilter } from "./image-list.ts";

/** A tag from the API's two parameters. @throws invalid-argument */
export function parseRepositoryTag(repository: string, tag: string | undefined): Reference {
  const reference = parseReference(repository);
  refuseAsTag(reference);
  return withDefaultTag(tag === undefined || tag === "" ? reference : withTag(reference, tag));
}

export function tagImage(context: ImageContext, name: string, repository: string, tag: string | undefined): void {
  const reference = parseRepositoryTag(repository, tag);
  const record = findImage(context, name);
  setTag(context, record.id, reference);
}

/** Sets or moves a name, with its time and event. */
export function setTag(context: ImageContext, image: Digest, reference: Reference): void {
  setName(context, image, reference);
  publishImage(context, "tag", image, familiarString(reference));
}

/** The same without the event, for what has an event of its own. */
export function setName(context: ImageContext, image: Digest, reference: Reference): void {
  const name = canonicalString(reference);
  context.store.images.tag({ name, image, target: reference.digest });
  context.setTagTime(name);
}

export function publishImage(context: ImageContext, action: string, id: Digest, name: string): void {
  const labels = context.store.content.info(id) === undefined ? {} : (configOf(context, id).config?.Labels ?? {});
  context.events.publish("image", action, id, { ...labels, name });
}

export async function removeImage(
  context: ImageContext,
  name: string,
  options: { readonly force: boolean; readonly noPrune: boolean },
): Promise<ImageDeleteItem[]> {
  const record = findImage(context, name);
  const { id } = record;
  const items: ImageDeleteItem[] = [];
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
  items: ImageDeleteItem[],
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
    items.push({ Deleted: id });
    for (const layer of layers.toReversed()) if (left.delete(layer)) items.push({ Deleted: layer });
  }
}

function namesOf(context: ImageContext, id: Digest): Reference[] {
  return context.store.images.references(id).map(({ name }) => parseReference(name));
}

function untag(context: ImageContext, id: Digest, reference: Reference, items: ImageDeleteItem[]): void {
  if (!context.store.images.untag(canonicalString(reference)))
    throw new EngineError("not-found", `No such image: ${familiarString(reference)}`);
  items.push({ Untagged: familiarString(reference) });
  publishImage(context, "untag", id, id);
}

/** With a repository's last tag its digests go too: nobody could name them otherwise. Only the tag is an event. */
function dropDigestsOf(context: ImageContext, id: Digest, reference: Reference, items: ImageDeleteItem[]): void {
  if (reference.digest !== undefined) return;
  const same = namesOf(context, id).filter((one) => canonicalName(one) === canonicalName(reference));
  if (same.some((one) => one.digest === undefined)) return;
  for (const one of same) {
    context.store.images.untag(canonicalString(one));
    items.push({ Untagged: familiarString(one) });
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

export async function pruneImages(context: ImageContext, filters: Filters): Promise<PruneReport> {
  checkFilterKeys(filters, ["dangling", "label", "label!", "until"]);
  const danglingOnly = booleanFilter(filters, "dangling") ?? true;
  const until = untilFilter(context, filters);
  const without = filterValues(filters, "label!");
  const items: ImageDeleteItem[] = [];
  const before = new Map(context.store.layers.list().map((layer) => [layer.chainId as string, layer.size]));
  for (const { id } of context.store.images.list()) {
    // An earlier one may have taken it along.
    if (context.store.images.get(id) === undefined) continue;
    const names = namesOf(context, id);
    if (names.length === 0 && context.store.images.children(id).length > 0) continue;
    if (danglingOnly && !isDangling(context, id)) continue;
    const { created, config } = configOf(context, id);
    const labels = config?.Labels ?? {};
    if (until !== undefined && createdAt(created) > until) continue;
    if (!matchesLabels(labels, filterValues(filters, "label"))) continue;
    if (without.length > 0 && without.every((label) => hasLabel(labels, label))) continue;
    // One name after another: of an image in use all go but the last.
    const asked = names.length === 0 ? [id.slice("sha256:".length)] : names.map((name) => canonicalString(name));
    for (const name of asked) {
      try {
        items.push(...(await removeImage(context, name, { force: false, noPrune: false })));
      } catch (error) {
        // In use, or gone meanwhile.
        if (!isEngineError(error, "conflict") && !isEngineError(error, "not-found")) throw error;
      }
    }
  }
  // What belongs to no image, too: of pulls that failed, kept for the next try.
  const { reclaimedBytes } = await context.store.collect();
  const reclaimed = items.reduce(
    (sum, item) => sum + ("Deleted" in item ? (before.get(item.Deleted) ?? 0) : 0),
    reclaimedBytes,
  );
  context.events.publish("image", "prune", "", { reclaimed: String(reclaimed) });
  return { ImagesDeleted: items.length === 0 ? null : items, SpaceReclaimed: reclaimed };
}

/** The name without its tag, for messages: "alpine". */
export function shownName(reference: Reference): string {
  return familiarName(reference);
}
