/** Names of images, their removal, and what a prune takes. */
import { EngineError, shortId } from "@fathom/base";
import {
  canonicalName,
  canonicalString,
  familiarName,
  familiarString,
  parseReference,
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
import { checkFilterKeys } from "../filters.ts";
import { configOf, findImage, isIdPrefix, type ImageContext } from "./image-context.ts";
import { booleanFilter, isDangling, listImages } from "./image-list.ts";

/** A tag from the API's two parameters. @throws invalid-argument */
export function parseRepositoryTag(repository: string, tag: string | undefined): Reference {
  const reference = parseReference(repository);
  if (reference.digest !== undefined)
    throw new EngineError("invalid-argument", "refusing to create a tag with a digest reference");
  return withDefaultTag(tag === undefined || tag === "" ? reference : withTag(reference, tag));
}

export function tagImage(context: ImageContext, name: string, repository: string, tag: string | undefined): void {
  const reference = parseRepositoryTag(repository, tag);
  const record = findImage(context, name);
  setTag(context, record.id, reference, undefined);
}

/** Sets or moves a name, with its time and event. */
export function setTag(context: ImageContext, image: Digest, reference: Reference, target: Digest | undefined): void {
  const name = canonicalString(reference);
  context.store.images.tag({ name, image, target });
  context.setTagTime(name);
  publishImage(context, "tag", image, familiarString(reference));
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
      checkConflicts(context, record, options.force, false);
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
  const conflict = findConflict(context, record, options.force, true);
  if (conflict !== undefined) {
    // The name is gone, as asked; the image stays for who uses it.
    if (untaggedByName && (conflict.used || !isDangling(context, id))) return items;
    throw conflict.error;
  }
  for (const reference of namesOf(context, id)) untag(context, id, reference, items);
  await deleteImage(context, record, items);
  return items;
}

/** Row, layers and blobs of an image without names. */
async function deleteImage(context: ImageContext, record: ImageRecord, items: ImageDeleteItem[]): Promise<number> {
  publishImage(context, "delete", record.id, record.id);
  context.store.images.remove(record.id);
  items.push({ Deleted: record.id });
  const collected = await context.store.collect();
  const own = new Set<string>(record.layers);
  for (const layer of collected.layers) if (own.has(layer)) items.push({ Deleted: layer });
  return collected.reclaimedBytes;
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

/** With a repository's last tag its digests go too: nobody could name them otherwise. */
function dropDigestsOf(context: ImageContext, id: Digest, reference: Reference, items: ImageDeleteItem[]): void {
  if (reference.digest !== undefined) return;
  const same = namesOf(context, id).filter((one) => canonicalName(one) === canonicalName(reference));
  if (same.some((one) => one.digest === undefined)) return;
  for (const one of same) untag(context, id, one, items);
}

/** At most one tag, and all names of one repository. */
function isSingleName(names: readonly Reference[]): boolean {
  return (
    names.length <= 1 ||
    (names.filter((one) => one.digest === undefined).length <= 1 &&
      new Set(names.map((one) => canonicalName(one))).size === 1)
  );
}

interface Conflict {
  readonly error: EngineError;
  /** A container needs it, as opposed to a name. */
  readonly used: boolean;
}

/** What stands against a removal: a running container always, a stopped one or several names unless forced. */
function findConflict(
  context: ImageContext,
  record: ImageRecord,
  force: boolean,
  names: boolean,
): Conflict | undefined {
  const conflict = (mustForce: boolean, reason: string, used: boolean): Conflict => ({
    used,
    error: new EngineError(
      "conflict",
      `conflict: unable to delete ${shownId(record.id)} (${mustForce ? "must" : "cannot"} be forced) - ${reason}`,
    ),
  });
  const users = context.uses.ofImage(record.id);
  const running = users.find((user) => user.running);
  if (running !== undefined)
    return conflict(false, `image is being used by running container ${shortId(running.id)}`, true);
  if (force) return undefined;
  if (names && namesOf(context, record.id).length > 0)
    return conflict(true, "image is referenced in multiple repositories", false);
  const stopped = users[0];
  return stopped === undefined
    ? undefined
    : conflict(true, `image is being used by stopped container ${shortId(stopped.id)}`, true);
}

function checkConflicts(context: ImageContext, record: ImageRecord, force: boolean, names: boolean): void {
  const conflict = findConflict(context, record, force, names);
  if (conflict !== undefined) throw conflict.error;
}

function shownId(id: Digest): string {
  return shortId(id.slice("sha256:".length));
}

export async function pruneImages(context: ImageContext, filters: Filters): Promise<PruneReport> {
  checkFilterKeys(filters, ["dangling", "label", "label!", "until"]);
  const danglingOnly = booleanFilter(filters, "dangling") ?? true;
  const { dangling: _all, ...rest } = filters;
  const candidates = listImages(context, {
    all: true,
    digests: false,
    sharedSize: false,
    manifests: false,
    filters: danglingOnly ? { ...rest, dangling: ["true"] } : rest,
  });
  const items: ImageDeleteItem[] = [];
  let reclaimed = 0;
  for (const { Id } of candidates) {
    const id = Id as Digest;
    const record = context.store.images.get(id);
    if (record === undefined || context.uses.ofImage(id).length > 0) continue;
    for (const reference of namesOf(context, id)) untag(context, id, reference, items);
    reclaimed += await deleteImage(context, record, items);
  }
  // What belongs to no image, too: of pulls that failed, kept for the next try.
  reclaimed += (await context.store.collect()).reclaimedBytes;
  context.events.publish("image", "prune", "", { reclaimed: String(reclaimed) });
  return { ImagesDeleted: items.length === 0 ? null : items, SpaceReclaimed: reclaimed };
}

/** The name without its tag, for messages: "alpine". */
export function shownName(reference: Reference): string {
  return familiarName(reference);
}
