/**
 * docker load: a docker-archive (manifest.json) or an OCI layout (index.json), compressed or not. The archive's files are spooled under
 * numbers of ours, so its names never become paths; nothing of a broken archive stays.
 */
import { EngineError, isEngineError } from "@fathom/base";
import {
  canonicalString,
  chainIds,
  parseImageConfig,
  type Descriptor,
  type Digest,
  type DiffId,
  type Platform,
  type Reference,
} from "@fathom/spec";
import type { ContentInfo, Lease } from "@fathom/store";
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
import type { ArchivedImage } from "./archived-image.ts";
import { imagesOf } from "./images-of.ts";
import { spool } from "./spool.ts";

/** @throws invalid-argument for what is no image archive, data-loss for a layer that is not what the config says */
export async function* loadImages(
  context: ImageContext,
  body: AsyncIterable<Uint8Array>,
  platform: Platform | undefined,
  signal: AbortSignal,
): AsyncGenerator<LoadEvent> {
  using work = context.workDirectory();
  const events = await underLease(context, "load", async (lease) => {
    const files = await spool(work.path, body, signal);
    const blobs: Blobs = new Map();
    // All of them first: an archive that breaks at its second image leaves nothing of the first either.
    const loaded: Loaded[] = [];
    /** Descriptions that are stored: many images may share one. */
    const stored = new Map<Uint8Array, Digest>();
    const put = (raw: Uint8Array): Digest => {
      const digest = stored.get(raw) ?? context.store.content.put(raw, lease).digest;
      stored.set(raw, digest);
      return digest;
    };
    for (const source of await imagesOf(files, platform)) {
      const layers = await loadLayers(context, source, blobs, lease, signal);
      // Written to the disk one by one: the transaction below only writes rows.
      const id = put(source.config);
      const manifests =
        source.manifests.length > 0 ? source.manifests.map(put) : [makeManifest(context, id, layers, lease)];
      loaded.push({ id, layers, manifests, names: source.names });
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

/** Files that have become blobs: they are no longer where they were. */
type Blobs = Map<string, ContentInfo>;

interface Loaded extends NewImageRow {
  readonly names: readonly Reference[];
}

/** Row and names of an image whose layers are there; gives an event for each of its names. */
function storeImage(context: ImageContext, image: Loaded, lease: Lease): LoadEvent[] {
  const { id, names } = image;
  putImageRow(context, image, lease);
  publishImage(context, "load", id, id);
  if (names.length === 0) return [{ kind: "loaded", image: id, name: undefined, replaced: undefined }];
  return names.map((name): LoadEvent => {
    const before = context.store.images.reference(canonicalString(name))?.image;
    setName(context, id, name);
    return { kind: "loaded", image: id, name, replaced: before === id ? undefined : before };
  });
}

async function loadLayers(
  context: ImageContext,
  source: ArchivedImage,
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
    // A layer that is here already is not unpacked, but its file becomes a blob of the image, so it has to be what it says.
    if (context.store.layers.hold(chain[index]!, lease)) {
      const actual = await diffIdOfFile(path);
      if (actual !== diffId) throw wrongDiffId(index, diffId, actual);
    } else {
      try {
        await unpackLayerFile(context, path, chain[index - 1], diffId, lease, signal);
      } catch (error) {
        if (!isEngineError(error, "data-loss")) throw error;
        throw wrongDiffId(index, diffId, await diffIdOfFile(path), error);
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
