/**
 * One layer, from its source to its directory, every byte handled once: network → content file and digest → decompress → DiffID and
 * tar → files. What the disk cannot take is not received: each step waits for the next.
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
  /** What the image's config says that the uncompressed tar has for a digest. */
  readonly diffId: DiffId;
  /** Empty directory of the layer draft; undefined when the blob alone is wanted. */
  readonly diffPath: string | undefined;
}

export interface LayerJobResult {
  /** Bytes of its files; 0 when the blob alone was wanted. */
  readonly size: number;
  /** For `LayerDraft.commit`. */
  readonly implied: readonly string[];
  /** Undefined when the blob was there before. */
  readonly blob: ContentInfo | undefined;
}

export type LayerJobReport =
  /** Compressed bytes so far. */
  { readonly kind: "downloading"; readonly current: number } | { readonly kind: "downloaded" };

/** What a job works with: the real ones in the worker, others in tests. */
export interface LayerTools {
  open(source: BlobSource, descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Uint8Array>;
  writer(storeRoot: string, expected: Descriptor): ContentWriter;
  unpacker(diffPath: string): LayerUnpacker;
}

const fileChunkBytes = 512 * 1024;

/** A stored blob in pieces, with a turn of the event loop between them so that a cancellation gets through. */
async function* readFile(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  const fd = openSync(path, "r");
  try {
    for (;;) {
      // Whoever gets it keeps it for a while.
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

/** Unpacks nothing: for a layer whose directory is here already the blob must still be what the image's config says. */
function hashingUnpacker(): LayerUnpacker {
  const hasher = new Bun.CryptoHasher("sha256");
  return {
    write: (chunk) => void hasher.update(chunk),
    finish: () => ({ diffId: parseDiffId(`sha256:${hasher.digest("hex")}`), size: 0, entries: 0, implied: [] }),
    abort: () => undefined,
  };
}

/**
 * @throws data-loss for a wrong digest, size or DiffID; invalid-argument for a broken or hostile archive; resource-exhausted when the disk
 * is full; aborted. Afterwards no temporary file is left; the directory is its owner's to drop.
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
  try {
    if (source.kind === "registry") writer = tools.writer(job.storeRoot, descriptor);
    let head: Uint8Array | undefined;
    const decompress = (chunk: Uint8Array): Promise<void> | void => {
      if (decompressor === undefined) {
        // The first bytes tell the compression; a first piece may be shorter.
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
      const taken = decompress(chunk);
      if (taken !== undefined) await taken;
      current += chunk.length;
      report({ kind: "downloading", current });
    }
    writer?.verify();
    report({ kind: "downloaded" });
    if (decompressor === undefined && head !== undefined && head.length > 0) unpacker.write(head);
    await decompressor?.finish();
    const { diffId, size, implied } = unpacker.finish();
    unpacking = false;
    if (diffId !== job.diffId)
      throw new EngineError(
        "data-loss",
        `layer ${descriptor.digest} unpacks to ${diffId}, but the image's config says ${job.diffId}`,
      );
    // Last: a blob that belongs to no such layer would be found, and refused, by every further try.
    return { size, implied, blob: writer?.commit() };
  } catch (error) {
    if (!isEngineError(error) || error.code === "aborted" || error.message.includes(descriptor.digest)) throw error;
    throw new EngineError(error.code, `layer ${descriptor.digest}: ${error.message}`, { cause: error });
  } finally {
    decompressor?.abort();
    writer?.abort();
    if (unpacking) unpacker.abort();
  }
}
