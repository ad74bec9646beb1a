/** A layer's compressed stream in a worker thread: small pieces out, much of it waiting, since the work is done beside what the thread does with the piece before. */
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
 * @param sink Gets pieces that are its to keep.
 * @throws invalid-argument, also later, for bytes that are no such stream, and what the sink throws
 */
export function createLayerDecompressor(kind: Compression, sink: (chunk: Uint8Array) => void): ByteTransform {
  return createDecompressor(kind, sink, { outputBytes, inputBytes, damaged });
}
