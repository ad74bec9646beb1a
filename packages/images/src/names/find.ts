/** How a name that a user typed is found. */
import { EngineError } from "@fathom/base";
import {
  canonicalName,
  canonicalString,
  familiarString,
  parseDigest,
  parseReference,
  platformMatches,
  tryParseReference,
  withDefaultTag,
  withDigest,
  type Digest,
  type Platform,
  type Reference,
} from "@fathom/spec";
import type { ImageRecord } from "@fathom/store";
import { configOf, type ImageContext } from "../context.ts";
import type { ShownNames } from "../contract.ts";
import { platformMismatchText, platformOf } from "../platform.ts";

/** As many digits of an id as lists show: whoever types them means the image, whatever an archive called another one. */
const shownIdDigits = 12;

/**
 * By name (latest where there is no tag), name@digest, id, or unique id prefix; in this order where both could be meant, except that a
 * full digest is an id, and so are as many digits of one as lists show.
 * @throws not-found "No such image: …" with the tag that was meant, invalid-argument for a name that is none
 */
export function findImage(context: ImageContext, name: string): ImageRecord {
  const { images } = context.store;
  const id = /^(?:sha256:)?([0-9a-f]{64})$/.exec(name)?.[1];
  if (id !== undefined) {
    const record = images.get(parseDigest(`sha256:${id}`));
    if (record !== undefined) return record;
    throw new EngineError("not-found", `No such image: sha256:${id}`);
  }
  const prefix = /^sha256:([0-9a-f]{1,63})$/.exec(name)?.[1];
  const short = prefix ?? (/^[0-9a-f]{1,63}$/.test(name) ? name : undefined);
  const byId = short !== undefined && short.length >= shownIdDigits ? images.find(short) : [];
  if (byId.length === 1) return images.get(byId[0]!)!;
  const reference = prefix === undefined ? tryParseReference(name) : undefined;
  if (reference !== undefined) {
    const record = byReference(context, reference);
    if (record !== undefined) return record;
  }
  if (short !== undefined) {
    const found = images.find(short);
    if (found.length > 1) throw new EngineError("invalid-argument", `multiple IDs found with provided prefix: ${name}`);
    const record = found[0] === undefined ? undefined : images.get(found[0]);
    if (record !== undefined) return record;
  }
  if (prefix !== undefined) throw new EngineError("not-found", `No such image: ${name}`);
  // Parsed again for its error.
  throw new EngineError("not-found", `No such image: ${familiarString(withDefaultTag(parseReference(name)))}`);
}

function byReference(context: ImageContext, reference: Reference): ImageRecord | undefined {
  const { images } = context.store;
  // With both, the digest decides.
  const exact = reference.digest === undefined ? withDefaultTag(reference) : withDigest(reference, reference.digest);
  const found = images.reference(canonicalString(exact));
  if (found !== undefined) return images.get(found.image);
  if (reference.digest === undefined) return undefined;
  // An image may be meant by the digest of its manifest under a name that has a tag only.
  const name = canonicalName(reference);
  const other = images
    .references()
    .find((one) => one.target === reference.digest && canonicalName(parseReference(one.name)) === name);
  return other === undefined ? undefined : images.get(other.image);
}

/** True when `name` is the id itself or a prefix of it, and not a name. */
export function isIdPrefix(context: ImageContext, id: Digest, name: string): boolean {
  const hex = name.startsWith("sha256:") ? name.slice("sha256:".length) : name;
  if (!/^[0-9a-f]+$/.test(hex) || !id.slice("sha256:".length).startsWith(hex)) return false;
  if (hex.length >= shownIdDigits) return true;
  const reference = tryParseReference(name);
  return (
    reference === undefined || context.store.images.reference(canonicalString(withDefaultTag(reference))) === undefined
  );
}

export function shownNames(context: ImageContext, id: Digest): ShownNames {
  const tags: string[] = [];
  const digests: string[] = [];
  for (const { name } of context.store.images.references(id)) {
    const reference = parseReference(name);
    (reference.digest === undefined ? tags : digests).push(familiarString(reference));
  }
  return { tags, digests };
}

/** @throws not-found also when the image is of another platform than asked for */
export function findForPlatform(context: ImageContext, name: string, platform: Platform | undefined): ImageRecord {
  const record = findImage(context, name);
  if (platform === undefined) return record;
  const own = platformOf(configOf(context, record.id));
  if (!platformMatches(platform, own)) throw new EngineError("not-found", platformMismatchText(name, own, platform));
  return record;
}
