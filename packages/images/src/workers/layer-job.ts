/**
 * One layer, from its source to its directory; every byte is handled once: network → content file and digest → decompress → DiffID and tar →
 * files. Data that the disk cannot accept yet is not received: each step waits for the next.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { detectCompression, magicLength, type ByteTransform } from "@fathom/archive";
import { EngineError, isEngineError } from "@fathom/base";
import type { BlobSource } from "@fathom/distribution";
import { type Descriptor, parseDiffId, type DiffId } from "@fathom/spec";
import type { ContentInfo, ContentWriter, LayerUnpacker } from "@fathom/store";
import { createLayerDecompressor } from "./decompress.ts";

/** Plain data: it is sent to a worker thread. */
export interface LayerJob {
  /** The store's root directory. */
  readonly storeRoot: string;
  readonly source:
    | { readonly kind: "registry"; readonly blob: BlobSource }
    /** The compressed blob is in the store already. */
    | { readonly kind: "content"; readonly path: string };
  readonly descriptor: Descriptor;
  /** The digest of the uncompressed tar in the image's config. */
  readonly diffId: DiffId;
  /** Empty directory of the layer draft; undefined when only the blob is needed. */
  readonly diffPath: string | undefined;
}

export interface LayerJobResult {
  /** Bytes of its files; 0 when only the blob was needed. */
  readonly size: number;
  /** For `LayerDraft.commit`. */
  readonly implied: readonly string[];
  /** Undefined when the blob was already stored. */
  readonly blob: ContentInfo | undefined;
}

export type LayerJobReport =
  /** Compressed bytes up to now. */
  { readonly kind: "downloading"; readonly current: number } | { readonly kind: "downloaded" };

/** The functions that a job uses: the real ones in the worker, others in tests. */
export interface LayerTools {
  open(source: BlobSource, descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Uint8Array>;
  writer(storeRoot: string, expected: Descriptor): ContentWriter;
  unpacker(diffPath: string): LayerUnpacker;
}

const fileChunkBytes = 512 * 1024;

/** A stored blob in pieces, with a turn of the event loop between them, so that a cancellation can arrive. */
async function* readFile(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  const fd = openSync(path, "r");
  try {
    for (;;) {
      // The receiver keeps it for a while.
      const buffer = new Uint8Array(fileChunkBytes);
      const count = readSync(fd, buffer);
      if (count === 0) return;
      yield buffer.subarray(0, count);
      await new Promise(setImmediate);
      if (signal.aborted) throw new EngineError("aborted", "the layer was cancelled");
    }
  } finally {
    closeSync(fd);
  }
}

/** Unpacks nothing: for a layer whose directory exists, the blob must still match the image's config. */
function hashingUnpacker(): LayerUnpacker {
  const hasher = new Bun.CryptoHasher("sha256");
  return {
    write: (chunk) => void hasher.update(chunk),
    finish: () => ({ diffId: parseDiffId(`sha256:${hasher.digest("hex")}`), size: 0, entries: 0, implied: [] }),
    abort: () => undefined,
  };
}

/**
 * @throws data-loss for a wrong digest, size or DiffID; invalid-argument for a broken or hostile archive; resource-exhausted when the disk is
 * full; aborted. Afterwards no temporary file is left; the owner of the directory must drop it.
 */
export async function runLayerJob(
  job: LayerJob,
  tools: LayerTools,
  report: (report: LayerJobReport) => void,
  signal: AbortSignal,
): Promise<LayerJobResult> {
  const { source, descriptor } = job;
  const unpacker = job.diffPath === undefined ? hashingUnpacker() : tools.unpacker(job.diffPath);
  let writer: ContentWriter | undefined;
  let decompressor: ByteTransform | undefined;
  let unpacking = true;
  /** The error of what happens now names the blob or the layer itself: errors of the source and of the store do. */
  let namesLayer = true;
  try {
    if (source.kind === "registry") writer = tools.writer(job.storeRoot, descriptor);
    let head: Uint8Array | undefined;
    const decompress = (chunk: Uint8Array): Promise<void> | void => {
      if (decompressor === undefined) {
        // The first bytes show the compression; a first piece may be shorter.
        head = head === undefined ? chunk.slice() : Buffer.concat([head, chunk]);
        if (head.length < magicLength) return undefined;
        decompressor = createLayerDecompressor(detectCompression(head), (bytes) => unpacker.write(bytes));
        chunk = head;
      }
      return decompressor.write(chunk);
    };
    let current = 0;
    const chunks =
      source.kind === "registry" ? tools.open(source.blob, descriptor, signal) : readFile(source.path, signal);
    for await (const chunk of chunks) {
      writer?.write(chunk);
      namesLayer = false;
      const taken = decompress(chunk);
      if (taken !== undefined) await taken;
      namesLayer = true;
      current += chunk.length;
      report({ kind: "downloading", current });
    }
    writer?.verify();
    report({ kind: "downloaded" });
    namesLayer = false;
    if (decompressor === undefined && head !== undefined && head.length > 0) unpacker.write(head);
    await decompressor?.finish();
    const { diffId, size, implied } = unpacker.finish();
    unpacking = false;
    namesLayer = true;
    if (diffId !== job.diffId)
      throw new EngineError(
        "data-loss",
        `layer ${descriptor.digest} unpacks to ${diffId}, but the image's config says ${job.diffId}`,
      );
    // Last: otherwise every later try would find a blob that does not belong to the layer, and reject it.
    return { size, implied, blob: writer?.commit() };
  } catch (error) {
    if (!isEngineError(error) || error.code === "aborted" || namesLayer) throw error;
    throw new EngineError(error.code, `layer ${descriptor.digest}: ${error.message}`, { cause: error });
  } finally {
    decompressor?.abort();
    writer?.abort();
    if (unpacking) unpacker.abort();
  }
}
