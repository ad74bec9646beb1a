/**
 * Decompression as a push stream, for worker threads: bytes in, bytes out to a sink, in order and in bounded pieces. The work is done in the runtime's thread
 * pool, beside what the worker does with the piece before.
 */
import type { Transform } from "node:stream";
import zlib from "node:zlib";
import { EngineError, messageOf } from "@fathom/base";
import type { LayerCompression } from "@fathom/spec";

export interface Decompressor {
  /**
   * Keeps the chunk for a while: it must not be written over. A promise is to be awaited before the next one.
   * @throws invalid-argument for bytes that are no such stream, and what the sink throws; also later
   */
  write(chunk: Uint8Array): Promise<void> | void;
  /** Resolves when the sink has all. @throws invalid-argument when the stream is not at its end, and as `write` */
  finish(): Promise<void>;
  /** Frees what is left. Idempotent. */
  close(): void;
}

const outputBytes = 128 * 1024;
/** Compressed bytes that may wait. */
const inputBytes = 1024 * 1024;

/** What the bytes are, whatever their label says: the magic numbers of gzip (RFC 1952) and zstd (RFC 8878, skippable frames too). */
export function detectCompression(start: Uint8Array): LayerCompression {
  if (start[0] === 0x1f && start[1] === 0x8b) return "gzip";
  if (start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd && start[0] === 0x28) return "zstd";
  if ((start[0]! & 0xf0) === 0x50 && start[1] === 0x2a && start[2] === 0x4d && start[3] === 0x18) return "zstd";
  return "none";
}

class StreamDecompressor implements Decompressor {
  readonly #stream: Transform;
  readonly #ended: Promise<void>;
  #failure: unknown;
  /** All has come out. */
  #whole = false;
  #wake: (() => void) | undefined;

  constructor(stream: Transform, name: string, sink: (chunk: Uint8Array) => void) {
    this.#stream = stream;
    this.#ended = new Promise((resolve) => {
      const failed = (error: unknown): void => {
        if (!this.#whole) this.#failure ??= error;
        this.#wake?.();
        resolve();
      };
      stream.once("end", () => {
        this.#whole = true;
        this.#wake?.();
        resolve();
      });
      stream.once("close", () => failed(new EngineError("aborted", "the decompression was given up")));
      stream.once("error", (error) =>
        failed(
          new EngineError("invalid-argument", `the layer's ${name} stream is broken: ${messageOf(error)}`, {
            cause: error,
          }),
        ),
      );
      stream.on("data", (chunk: Uint8Array) => {
        if (this.#failure !== undefined) return;
        try {
          sink(chunk);
        } catch (error) {
          // Why the other side does not take it is the reason to give, not what the stream says of it.
          failed(error);
          stream.destroy();
        }
      });
    });
    stream.on("drain", () => this.#wake?.());
  }

  write(chunk: Uint8Array): Promise<void> | void {
    if (this.#failure !== undefined) throw this.#failure;
    // Padding behind the last member.
    if (this.#whole || this.#stream.write(chunk)) return undefined;
    return new Promise((resolve, reject) => {
      this.#wake = () => {
        this.#wake = undefined;
        if (this.#failure === undefined) resolve();
        else reject(this.#failure);
      };
    });
  }

  async finish(): Promise<void> {
    if (this.#failure === undefined && !this.#whole) this.#stream.end();
    await this.#ended;
    if (this.#failure !== undefined) throw this.#failure;
  }

  close(): void {
    this.#stream.destroy();
  }
}

/** @param sink Gets pieces that are its to keep. */
export function createDecompressor(kind: LayerCompression, sink: (chunk: Uint8Array) => void): Decompressor {
  const sizes = { chunkSize: outputBytes, writableHighWaterMark: inputBytes };
  switch (kind) {
    case "none":
      return { write: sink, finish: async () => undefined, close() {} };
    case "gzip":
      return new StreamDecompressor(zlib.createGunzip(sizes), "gzip", sink);
    case "zstd":
      return new StreamDecompressor(
        zlib.createZstdDecompress({ ...sizes, params: { [zlib.constants.ZSTD_d_windowLogMax]: 27 } }),
        "zstd",
        sink,
      );
  }
}
