/** The other jobs of a worker thread: make a file of a writable layer, make a blob of a file. */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { EngineError } from "@fathom/base";
import { createGzipCompressor } from "@fathom/archive";
import { parseDigest } from "@fathom/spec";
import {
  copyLayer,
  placeContentFile,
  storageError,
  type ContentInfo,
  type LayerCopy,
  type UnpackedLayer,
} from "@fathom/store";
import type { Sys } from "@fathom/sys";

/** Plain data, like everything that a worker receives. */
export interface CopyJob extends LayerCopy {
  /** The file to make in addition to the copy: the layer's tar, gzipped. */
  readonly file: string;
}

export interface BlobJob {
  /** The store's root directory. */
  readonly storeRoot: string;
  /** A complete file on the store's file system; it is moved. */
  readonly file: string;
}

const chunkBytes = 512 * 1024;

/** @throws resource-exhausted when the disk is full: "<action>: no space left on device" */
export function writeAll(fd: number, chunk: Uint8Array, action: string, position?: number): void {
  try {
    for (let done = 0; done < chunk.length;)
      done += writeSync(fd, chunk, done, chunk.length - done, position === undefined ? null : position + done);
  } catch (error) {
    throw storageError(action, error);
  }
}

function checkSignal(signal: AbortSignal): void {
  if (signal.aborted) throw new EngineError("aborted", "the layer was cancelled");
}

/** @throws resource-exhausted, aborted; then file and copy stay, and their owner must remove them */
export async function runCopyJob(sys: Sys, job: CopyJob, signal: AbortSignal): Promise<UnpackedLayer> {
  const fd = openSync(job.file, "wx", 0o600);
  try {
    const compressor = createGzipCompressor((chunk) => writeAll(fd, chunk, "write the archive of the layer"));
    const copied = await copyLayer(sys, job, (chunk) => {
      checkSignal(signal);
      return compressor.write(chunk);
    });
    await compressor.finish();
    return copied;
  } finally {
    closeSync(fd);
  }
}

/** Computes the digest and puts the file in its place; the engine writes the row. @throws aborted */
export async function runBlobJob(job: BlobJob, signal: AbortSignal): Promise<ContentInfo> {
  const hasher = new Bun.CryptoHasher("sha256");
  const buffer = new Uint8Array(chunkBytes);
  let size = 0;
  const fd = openSync(job.file, "r");
  try {
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer)) {
      hasher.update(buffer.subarray(0, count));
      size += count;
      // A turn of the event loop, so that a cancellation can arrive.
      await new Promise(setImmediate);
      checkSignal(signal);
    }
  } finally {
    closeSync(fd);
  }
  return placeContentFile(job.storeRoot, job.file, { digest: parseDigest(`sha256:${hasher.digest("hex")}`), size });
}
