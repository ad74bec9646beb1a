/** How an image is found by the name that a user typed. */
import { EngineError } from "@fathom/base";
import {
  canonicalName,
  canonicalString,
  familiarString,
  mediaTypes,
  parseDigest,
  parseManifest,
  parseReference,
  pickPlatform,
  tryParseReference,
  withDefaultTag,
  withDigest,
  type Digest,
  type Platform,
  type Reference,
} from "@fathom/spec";
import { manifestsOf, type HeldImage, type ImageRecord, type ImageTarget, type NamedImage } from "@fathom/store";
import { configOf, type ImageContext } from "../context.ts";
import type { ShownNames } from "../contract.ts";
import { platformMismatchText, platformOf } from "../platform.ts";

/** The number of digits of an id in lists: a user who types this many means the image with that id, whatever name an archive gave another image. */
const shownIdDigits = 12;

/**
 * By name (latest without a tag), name@digest, id, or unique id prefix; in this order when both are possible. The exceptions: a full digest is
 * an id, and so are as many digits as lists show.
 * @throws not-found "No such image: …" with the tag that the name means, invalid-argument for an invalid name
 */
export function findImage(context: ImageContext, name: string): ImageRecord {
  return find(context, name).record;
}

interface Found {
  readonly record: ImageRecord;
  /** undefined when the id was given, because an id belongs to one platform. */
  readonly named: NamedImage | undefined;
}

function find(context: ImageContext, name: string): Found {
  const { images } = context.store;
  const id = /^(?:sha256:)?([0-9a-f]{64})$/.exec(name)?.[1];
  if (id !== undefined) {
    const record = images.get(parseDigest(`sha256:${id}`));
    if (record !== undefined) return { record, named: undefined };
    throw new EngineError("not-found", `No such image: sha256:${id}`);
  }
  const prefix = /^sha256:([0-9a-f]{1,63})$/.exec(name)?.[1];
  const short = prefix ?? (/^[0-9a-f]{1,63}$/.test(name) ? name : undefined);
  const byId = short !== undefined && short.length >= shownIdDigits ? images.find(short) : [];
  if (byId.length === 1) return { record: images.get(byId[0]!)!, named: undefined };
  const reference = prefix === undefined ? tryParseReference(name) : undefined;
  if (reference !== undefined) {
    const named = byReference(context, reference);
    const record = named === undefined ? undefined : images.get(named.images[0]);
    if (record !== undefined) return { record, named };
  }
  if (short !== undefined) {
    const found = images.find(short);
    if (found.length > 1) throw new EngineError("invalid-argument", `multiple IDs found with provided prefix: ${name}`);
    const record = found[0] === undefined ? undefined : images.get(found[0]);
    if (record !== undefined) return { record, named: undefined };
  }
  if (prefix !== undefined) throw new EngineError("not-found", `No such image: ${name}`);
  // Parsed again, for its error.
  throw new EngineError("not-found", `No such image: ${familiarString(withDefaultTag(parseReference(name)))}`);
}

function byReference(context: ImageContext, reference: Reference): NamedImage | undefined {
  const { images } = context.store;
  // With both, the digest decides.
  const exact = reference.digest === undefined ? withDefaultTag(reference) : withDigest(reference, reference.digest);
  const found = images.named(canonicalString(exact));
  if (found !== undefined || reference.digest === undefined) return found;
  // The digest of an image's manifest may identify the image, also when it only has names with a tag.
  const name = canonicalName(reference);
  return images
    .names()
    .find((one) => one.target.digest === reference.digest && canonicalName(parseReference(one.name)) === name);
}

/** True when `name` is the id itself or a prefix of it, and not a name. */
export function isIdPrefix(context: ImageContext, id: Digest, name: string): boolean {
  const hex = name.startsWith("sha256:") ? name.slice("sha256:".length) : name;
  if (!/^[0-9a-f]+$/.test(hex) || !id.slice("sha256:".length).startsWith(hex)) return false;
  if (hex.length >= shownIdDigits) return true;
  const reference = tryParseReference(name);
  return (
    reference === undefined || context.store.images.named(canonicalString(withDefaultTag(reference))) === undefined
  );
}

export function shownNames(context: ImageContext, id: Digest): ShownNames {
  const tags: string[] = [];
  const digests: string[] = [];
  for (const { name } of context.store.images.names(id)) {
    const reference = parseReference(name);
    (reference.digest === undefined ? tags : digests).push(familiarString(reference));
  }
  return { tags, digests };
}

/** @throws not-found also when the image is for another platform than the requested one */
export function findForPlatform(context: ImageContext, name: string, platform: Platform | undefined): ImageRecord {
  const { wanted, shown } = findPlatform(context, name, platform);
  if (wanted !== undefined) return wanted;
  const own = platformOf(configOf(context, shown.id));
  throw new EngineError("not-found", platformMismatchText(name, own, platform!));
}

export interface FoundPlatform {
  /** The best image for the platform that the name holds; undefined when it holds none. Without a platform: the shown one. */
  readonly wanted: ImageRecord | undefined;
  readonly shown: ImageRecord;
}

/** @throws as `findImage` */
export function findPlatform(context: ImageContext, name: string, platform: Platform | undefined): FoundPlatform {
  const { record, named } = find(context, name);
  if (platform === undefined) return { wanted: record, shown: record };
  const held = (named?.images ?? [record.id]).map((id) => ({ id, platform: platformOf(configOf(context, id)) }));
  const best = pickPlatform(platform, held);
  return { wanted: best === undefined ? undefined : context.store.images.get(best.id), shown: record };
}

/** The target of a name. For an id, an image of one platform with its own manifest. @throws as `findImage` */
export function findHeld(context: ImageContext, name: string): HeldImage {
  const { record, named } = find(context, name);
  return named ?? { target: ownTarget(context, record), images: [record.id], content: [] };
}

/** The manifest of an image of one platform; its config when its manifests cannot be read any more. */
function ownTarget({ store }: ImageContext, { id, manifests }: ImageRecord): ImageTarget {
  const read = manifestsOf(store.content);
  for (const digest of manifests) {
    const raw = read(digest);
    const parsed = raw === undefined ? undefined : parseManifest(raw, undefined);
    if (raw !== undefined && parsed?.kind === "manifest")
      return { digest, mediaType: parsed.mediaType, size: raw.length };
  }
  return { digest: id, mediaType: mediaTypes.ociConfig, size: store.content.info(id)?.size ?? 0 };
}
