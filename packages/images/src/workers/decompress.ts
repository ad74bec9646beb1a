/**
 * Decompresses a layer in a worker thread: pieces are small, and many may wait, because decompression runs at the same time as the thread's
 * work on the previous piece.
 */
import { createDecompressor, type ByteTransform, type Compression } from "@fathom/archive";
import { EngineError, messageOf } from "@fathom/base";

const outputBytes = 128 * 1024;
/** Compressed bytes that may wait. */
const inputBytes = 1024 * 1024;

function damaged(compression: string, error: unknown): EngineError {
  return new EngineError("invalid-argument", `the layer's ${compression} stream is broken: ${messageOf(error)}`, {
    cause: error,
  });
}

/**
 * @param sink Receives pieces that it may keep.
 * @throws invalid-argument, also later, for bytes that are no such stream, and the errors of the sink
 */
export function createLayerDecompressor(kind: Compression, sink: (chunk: Uint8Array) => void): ByteTransform {
  return createDecompressor(kind, sink, { outputBytes, inputBytes, damaged });
}
