/** Images that are made here (commit, load): layers from files, a manifest when there is none, the row. */
import { closeSync, createReadStream, openSync, readSync, statSync } from "node:fs";
import { EngineError, formatRfc3339Nano } from "@fathom/base";
import { createDecompressor, detectCompression, magicLength } from "@fathom/archive";
import {
  chainIds,
  maxManifestBytes,
  mediaTypes,
  parseDiffId,
  parseDigest,
  parseManifest,
  type ChainId,
  type Descriptor,
  type Digest,
  type DiffId,
} from "@fathom/spec";
import type { ContentInfo, HeldImage, ImageTarget, Layer, Lease } from "@fathom/store";
import { configOf, type ImageContext } from "../context.ts";

const chunkBytes = 512 * 1024;

/** Unpacks a layer file (compressed or not) on top of `parent`. @throws data-loss when its DiffID differs */
export async function unpackLayerFile(
  context: ImageContext,
  path: string,
  parent: ChainId | undefined,
  expected: DiffId,
  lease: Lease,
  signal: AbortSignal,
): Promise<Layer> {
  const { store } = context;
  const draft = store.layers.draft();
  try {
    const { size, implied } = await context.runLayer(
      {
        storeRoot: store.root,
        source: { kind: "content", path },
        // The digest is only for messages here: the file is no blob yet.
        descriptor: { mediaType: layerMediaType(path), digest: parseDigest(expected), size: statSync(path).size },
        diffId: expected,
        diffPath: draft.diffPath,
      },
      signal,
    );
    await draft.inherit(parent, implied);
    return draft.commit(parent, expected, size, lease);
  } catch (error) {
    draft.abort();
    throw error;
  }
}

/** DiffID of a layer file: the digest of its tar, with any compression. `copy` also receives the tar. @throws the signal's reason */
export async function diffIdOfFile(
  path: string,
  signal: AbortSignal,
  copy?: (chunk: Uint8Array) => void | Promise<void>,
): Promise<DiffId> {
  const hasher = new Bun.CryptoHasher("sha256");
  const pending: Uint8Array[] = [];
  const decompressor = createDecompressor("auto", (chunk) => {
    hasher.update(chunk);
    if (copy !== undefined) pending.push(chunk);
  });
  const drain = async (): Promise<void> => {
    for (const chunk of pending.splice(0)) await copy?.(chunk);
  };
  for await (const chunk of createReadStream(path, { highWaterMark: chunkBytes })) {
    signal.throwIfAborted();
    await decompressor.write(chunk);
    await drain();
  }
  await decompressor.finish();
  await drain();
  return parseDiffId(`sha256:${hasher.digest("hex")}`);
}

/** Moves a file of a work directory into the content store, under its digest. */
export async function importBlob(
  context: ImageContext,
  file: string,
  lease: Lease,
  signal: AbortSignal,
): Promise<ContentInfo> {
  const info = await context.runBlob({ storeRoot: context.store.root, file }, signal);
  context.store.content.record(info, lease);
  return info;
}

/** Media type of a layer file by its first bytes. */
export function layerMediaType(path: string): string {
  const head = Buffer.alloc(magicLength);
  const fd = openSync(path, "r");
  try {
    readSync(fd, head, 0, magicLength, 0);
  } finally {
    closeSync(fd);
  }
  const kind = detectCompression(head);
  return `${mediaTypes.ociLayer}${kind === "none" ? "" : `+${kind}`}`;
}

export interface NewImage {
  /** Bytes of the config; their digest is the image's id. */
  readonly config: Uint8Array;
  /** Compressed layers, lowest first; all are in the content store. */
  readonly layers: readonly Descriptor[];
  /** The image on top of which it was committed. */
  readonly parent?: Digest;
}

/** Writes manifest, config and row; the lease must hold the layers. The caller gives the first name. */
export function putImage(context: ImageContext, { config, layers, parent }: NewImage, lease: Lease): HeldImage {
  const id = context.store.content.put(config, lease).digest;
  const target = makeManifest(context, id, layers, lease);
  putImageRow(context, { id, layers, manifests: [target.digest], ...(parent === undefined ? {} : { parent }) }, lease);
  return { target, images: [id], content: [] };
}

/** Stores a manifest for a config that is stored. */
export function makeManifest(
  context: ImageContext,
  id: Digest,
  layers: readonly Descriptor[],
  lease: Lease,
): ImageTarget {
  const { content } = context.store;
  const made = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: id, size: content.info(id)?.size },
    layers,
  };
  return { ...content.put(Buffer.from(JSON.stringify(made)), lease), mediaType: mediaTypes.ociManifest };
}

export interface NewImageRow {
  readonly id: Digest;
  readonly layers: readonly Descriptor[];
  /** The image's own manifest, then an index that contains it. */
  readonly manifests: readonly Digest[];
  readonly parent?: Digest;
}

/** Config, manifests and layers are stored, under the lease. */
export function putImageRow(context: ImageContext, image: NewImageRow, lease: Lease): void {
  const { store, clock } = context;
  const layers = chainIds(configOf(context, image.id).rootfs.diff_ids);
  store.images.put(
    {
      id: image.id,
      layers,
      blobs: image.layers.map((layer) => layer.digest),
      manifests: image.manifests,
      storedAt: formatRfc3339Nano(clock.nowNs()),
      size: layers.reduce((sum, chainId) => sum + (store.layers.get(chainId)?.size ?? 0), 0),
      // Somebody may have removed it meanwhile: the lease holds its layers, not its row.
      parent: image.parent !== undefined && store.images.get(image.parent) !== undefined ? image.parent : undefined,
    },
    lease,
  );
}

export interface StoredManifest {
  readonly raw: Uint8Array;
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/**
 * A manifest of the image whose layers are all in the content store.
 * @throws conflict when a compressed layer is missing: its content was already stored when the image came, so it was never fetched
 */
export function manifestOf(context: ImageContext, id: Digest, name: string): StoredManifest {
  const { store } = context;
  for (const digest of store.images.get(id)?.manifests ?? []) {
    if (store.content.info(digest) === undefined) continue;
    const raw = store.content.read(digest, maxManifestBytes);
    const parsed = parseManifest(raw, undefined);
    if (parsed.kind !== "manifest" || parsed.manifest.config.digest !== id) continue;
    const { config, layers } = parsed.manifest;
    // When an image was committed on top of layers that were never fetched in compressed form, the manifest has too few layers.
    if (
      layers.length === store.images.get(id)?.layers.length &&
      layers.every((layer) => store.content.info(layer.digest) !== undefined)
    )
      return { raw, mediaType: parsed.mediaType, config, layers };
  }
  throw new EngineError("conflict", `the compressed layers of ${name} are not stored here: pull it again first`);
}
