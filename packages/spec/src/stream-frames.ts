/** Docker's multiplexed streams: before each piece of output 8 bytes, with the stream's number, three zeros, and the piece's length (big-endian). */
import { EngineError } from "@fathom/base";

export const frameHeaderBytes = 8;
const highestStream = 3;

/** A piece of a frame: a large frame gives several pieces. */
export interface Frame {
  /** 1 is stdout, 2 is stderr, 3 is an error of the daemon. */
  readonly stream: number;
  readonly data: Uint8Array;
}

/** The header before `length` bytes of this stream. */
export function frameHeader(stream: 1 | 2, length: number): Buffer {
  const header = Buffer.alloc(frameHeaderBytes);
  header[0] = stream;
  header.writeUInt32BE(length, 4);
  return header;
}

/** Splits a byte stream into pieces of frames. Pieces are passed on as they arrive, so a large frame is never whole in memory. */
export class FrameSplitter {
  readonly #header = Buffer.alloc(frameHeaderBytes);
  #headerLength = 0;
  #left = 0;

  /** False in the middle of a frame: if the stream ends there, something is missing. */
  get isWhole(): boolean {
    return this.#left === 0 && this.#headerLength === 0;
  }

  /** The pieces are views of `chunk`. @throws data-loss for an unknown stream */
  *push(chunk: Uint8Array): Generator<Frame> {
    for (let offset = 0; offset < chunk.length;) {
      if (this.#left === 0) {
        const taken = Math.min(frameHeaderBytes - this.#headerLength, chunk.length - offset);
        this.#header.set(chunk.subarray(offset, offset + taken), this.#headerLength);
        this.#headerLength += taken;
        offset += taken;
        if (this.#headerLength < frameHeaderBytes) return;
        this.#headerLength = 0;
        this.#left = this.#header.readUInt32BE(4);
        if (this.#header[0]! > highestStream)
          throw new EngineError("data-loss", `unrecognized stream: ${this.#header[0]}`);
        continue;
      }
      const taken = Math.min(this.#left, chunk.length - offset);
      yield { stream: this.#header[0]!, data: chunk.subarray(offset, offset + taken) };
      this.#left -= taken;
      offset += taken;
    }
  }
}
