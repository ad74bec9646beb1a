/**
 * docker load: a docker-archive (manifest.json) or an OCI layout (index.json), compressed or not. The archive's files are stored under numbers
 * of ours, so its names never become paths; a broken archive leaves nothing.
 */
import { EngineError, isEngineError } from "@fathom/base";
import {
  canonicalString,
  chainIds,
  parseImageConfig,
  parseManifest,
  type Descriptor,
  type Digest,
  type DiffId,
  type Platform,
  type Reference,
} from "@fathom/spec";
import type { ContentInfo, HeldImage, ImageTarget, Lease } from "@fathom/store";
import { underLease, type ImageContext } from "../context.ts";
import type { LoadEvent } from "../contract.ts";
import {
  diffIdOfFile,
  importBlob,
  layerMediaType,
  makeManifest,
  putImageRow,
  unpackLayerFile,
  type NewImageRow,
} from "../make/make-image.ts";
import { publishImage, setName } from "../names/names.ts";
import type { ArchivedAttestation, ArchivedImage, ArchivedPlatform } from "./archived-image.ts";
import { imagesOf } from "./images-of.ts";
import { spool } from "./spool.ts";

/** @throws invalid-argument for a file that is no image archive, data-loss for a layer that does not match the config */
export async function* loadImages(
  context: ImageContext,
  body: AsyncIterable<Uint8Array>,
  platform: Platform | undefined,
  signal: AbortSignal,
): AsyncGenerator<LoadEvent> {
  await using work = context.workDirectory();
  const events = await underLease(context, "load", async (lease) => {
    const files = await spool(work.path, body, signal);
    const blobs: Blobs = new Map();
    // All of them first: an archive that breaks at its second image leaves nothing of the first either.
    const loaded: Loaded[] = [];
    /** Descriptions that are stored already: many images may share one. */
    const stored = new Map<Uint8Array, Digest>();
    const put = (raw: Uint8Array): Digest => {
      const digest = stored.get(raw) ?? context.store.content.put(raw, lease).digest;
      stored.set(raw, digest);
      return digest;
    };
    for (const source of await imagesOf(files, platform)) {
      loaded.push(await loadImage(context, source, put, blobs, lease, signal));
      await new Promise((resolve) => setImmediate(resolve));
    }
    signal.throwIfAborted();
    const events: LoadEvent[] = [];
    context.store.database.transaction(() => {
      for (const image of loaded) events.push(...storeImage(context, image, lease));
    });
    return events;
  });
  yield* events;
}

/** Files that have become blobs: they are no longer at their old place. */
type Blobs = Map<string, ContentInfo>;

interface Loaded {
  readonly held: HeldImage;
  /** For the images of one platform. */
  readonly rows: readonly NewImageRow[];
  readonly names: readonly Reference[];
}

/** Stores the content and the layers of an image. Its rows and names are written when all images of the archive are stored. */
async function loadImage(
  context: ImageContext,
  source: ArchivedImage,
  put: (raw: Uint8Array) => Digest,
  blobs: Blobs,
  lease: Lease,
  signal: AbortSignal,
): Promise<Loaded> {
  const { names } = source;
  const [shown, ...others] = source.platforms;
  const target =
    source.target === undefined
      ? undefined
      : { mediaType: source.target.mediaType, digest: put(source.target.raw), size: source.target.raw.length };
  const load = async (platform: ArchivedPlatform): Promise<NewImageRow & { readonly own: ImageTarget }> => {
    const layers = await loadLayers(context, platform, blobs, lease, signal);
    // Written to the disk one by one: the transaction below only writes rows.
    const id = put(platform.config);
    const own =
      platform.manifest === undefined
        ? makeManifest(context, id, layers, lease)
        : {
            mediaType: parseManifest(platform.manifest, undefined).mediaType,
            digest: put(platform.manifest),
            size: platform.manifest.length,
          };
    const manifests = [...new Set([own.digest, ...(target === undefined ? [] : [target.digest])])];
    return { id, layers, manifests, own };
  };
  const first = await load(shown);
  const rows = [first];
  const content: Digest[] = [];
  // Without a name nothing holds them.
  if (names.length > 0) {
    for (const platform of others) rows.push(await load(platform));
    for (const attestation of source.attestations)
      content.push(...(await loadAttestation(context, attestation, put, blobs, lease, signal)));
  }
  const behind = rows.map(({ id }) => id).filter((id) => id !== first.id);
  return {
    held: { target: target ?? first.own, images: [first.id, ...new Set(behind)], content },
    rows,
    names,
  };
}

async function loadAttestation(
  context: ImageContext,
  { descriptions, layers }: ArchivedAttestation,
  put: (raw: Uint8Array) => Digest,
  blobs: Blobs,
  lease: Lease,
  signal: AbortSignal,
): Promise<Digest[]> {
  const content = descriptions.map(put);
  for (const { digest, file } of layers) {
    const blob = blobs.get(file) ?? (await importBlob(context, file, lease, signal));
    blobs.set(file, blob);
    if (blob.digest !== digest) throw new EngineError("data-loss", `the archive's ${digest} has another content`);
    content.push(digest);
  }
  return content;
}

/** Rows and names of an image whose content is stored; returns an event for each of its names. */
function storeImage(context: ImageContext, { held, rows, names }: Loaded, lease: Lease): LoadEvent[] {
  for (const row of rows) putImageRow(context, row, lease);
  const [id] = held.images;
  publishImage(context, "load", id, id);
  if (names.length === 0) return [{ kind: "loaded", image: id, name: undefined, replaced: undefined }];
  return names.map((name): LoadEvent => {
    const before = context.store.images.named(canonicalString(name))?.images[0];
    setName(context, held, name);
    return { kind: "loaded", image: id, name, replaced: before === id ? undefined : before };
  });
}

async function loadLayers(
  context: ImageContext,
  source: ArchivedPlatform,
  blobs: Blobs,
  lease: Lease,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const diffIds = parseImageConfig(source.config).rootfs.diff_ids;
  if (diffIds.length !== source.layers.length)
    throw new EngineError(
      "invalid-argument",
      `invalid manifest, layers length mismatch: expected ${source.layers.length}, got ${diffIds.length}`,
    );
  const chain = chainIds(diffIds);
  const layers: Descriptor[] = [];
  for (const [index, file] of source.layers.entries()) {
    signal.throwIfAborted();
    const known = blobs.get(file);
    const path = known === undefined ? file : context.store.content.path(known.digest);
    const diffId = diffIds[index]!;
    // A layer that is stored already is not unpacked. But its file becomes a blob of the image, so its digest must be checked.
    if (context.store.layers.hold(chain[index]!, lease)) {
      const actual = await diffIdOfFile(path, signal);
      if (actual !== diffId) throw wrongDiffId(index, diffId, actual);
    } else {
      try {
        await unpackLayerFile(context, path, chain[index - 1], diffId, lease, signal);
      } catch (error) {
        if (!isEngineError(error, "data-loss")) throw error;
        throw wrongDiffId(index, diffId, await diffIdOfFile(path, signal), error);
      }
    }
    const mediaType = layerMediaType(path);
    const blob = known ?? (await importBlob(context, file, lease, signal));
    blobs.set(file, blob);
    layers.push({ mediaType, ...blob });
  }
  return layers;
}

function wrongDiffId(index: number, expected: DiffId, actual: DiffId, cause?: unknown): EngineError {
  const message = `invalid diffID for layer ${index}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`;
  return new EngineError("data-loss", message, { cause });
}
