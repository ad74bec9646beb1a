/** What the image half's files share, and how a name that a user typed is found. */
import { EngineError } from "@fathom/base";
import {
  canonicalName,
  canonicalString,
  familiarString,
  maxConfigBytes,
  parseImageConfig,
  parseReference,
  tryParseReference,
  withDefaultTag,
  withDigest,
  type Digest,
  type ImageConfig,
  type Reference,
} from "@fathom/spec";
import type { DiffId } from "@fathom/spec/digest";
import type { ContentInfo, ImageRecord, Lease } from "@fathom/store";
import type { LocalImage } from "@fathom/containers/contract";
import type { EngineParts } from "../engine.ts";
import type { BlobJob, DiffJob } from "../pull/file-jobs.ts";
import type { LayerJob, LayerJobResult } from "../pull/layer-job.ts";

export interface ImageContext extends EngineParts {
  /** Unpacks a layer in a worker thread. @throws as `runLayerJob` */
  runLayer(job: LayerJob, signal: AbortSignal): Promise<LayerJobResult>;
  /** Writes a writable layer as a file, in a worker thread. @throws as `runDiffJob` */
  runDiff(job: DiffJob, signal: AbortSignal): Promise<DiffId>;
  /** Moves a file to where its blob belongs, in a worker thread. @throws as `runBlobJob` */
  runBlob(job: BlobJob, signal: AbortSignal): Promise<ContentInfo>;
  /** A directory for files on their way, below the data root; `using` removes it. */
  workDirectory(): { readonly path: string } & Disposable;
  /** When a name was last set, RFC3339Nano. */
  tagTime(name: string): string | undefined;
  setTagTime(name: string): void;
}

/** Work under a lease of its own. When it fails, what it left is collected: nobody comes back for it. */
export async function underLease<T>(
  { store, logger }: ImageContext,
  label: string,
  work: (lease: Lease) => Promise<T>,
): Promise<T> {
  const lease = store.leases.create(label);
  try {
    const result = await work(lease);
    store.leases.release(lease);
    return result;
  } catch (error) {
    store.leases.release(lease);
    await store.collect().catch((reason: unknown) => logger.warn("collecting failed", { error: reason }));
    throw error;
  }
}

/** Configs by image id: they never change. */
const configs = new Map<Digest, ImageConfig>();
const maxConfigs = 256;

export function configOf(context: ImageContext, id: Digest): ImageConfig {
  const known = configs.get(id);
  if (known !== undefined) return known;
  const config = parseImageConfig(context.store.content.read(id, maxConfigBytes));
  if (configs.size >= maxConfigs) configs.clear();
  configs.set(id, config);
  return config;
}

export function localImage(context: ImageContext, record: ImageRecord): LocalImage {
  return { id: record.id, config: configOf(context, record.id), topLayer: record.layers.at(-1) };
}

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
    const record = images.get(`sha256:${id}` as Digest);
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

export interface ShownNames {
  readonly RepoTags: string[];
  readonly RepoDigests: string[];
}

export function namesOf(context: ImageContext, id: Digest): ShownNames {
  const RepoTags: string[] = [];
  const RepoDigests: string[] = [];
  for (const { name } of context.store.images.references(id)) {
    const reference = parseReference(name);
    (reference.digest === undefined ? RepoTags : RepoDigests).push(familiarString(reference));
  }
  return { RepoTags, RepoDigests };
}
