/** The little-endian wire form of `native/init/base/wire.h`: a growing writer, and a reader that throws for a message that is too short or wrong. */
import { EngineError } from "@fathom/base";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class WireWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(room = 1024) {
    this.#bytes = new Uint8Array(room);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + size));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }

  u16(value: number): this {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
    return this;
  }

  u32(value: number): this {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  u64(value: bigint): this {
    this.#reserve(8);
    this.#view.setBigUint64(this.#length, BigInt.asUintN(64, value), true);
    this.#length += 8;
    return this;
  }

  /** u32 length, UTF-8 bytes, a zero byte. A NUL inside would end the text early on the other side, so it is rejected. */
  /** As `text`, for bytes that are no UTF-8. */
  textBytes(value: Uint8Array): this {
    if (value.includes(0)) throw new EngineError("invalid-argument", "a NUL byte is in a text");
    this.#reserve(4 + value.length + 1);
    this.#view.setUint32(this.#length, value.length, true);
    this.#bytes.set(value, this.#length + 4);
    this.#bytes[this.#length + 4 + value.length] = 0;
    this.#length += 4 + value.length + 1;
    return this;
  }

  text(value: string): this {
    if (value.includes("\0"))
      throw new EngineError("invalid-argument", `a NUL byte is in ${JSON.stringify(value.slice(0, 80))}`);
    // UTF-8 needs at most three bytes for each UTF-16 unit.
    this.#reserve(4 + value.length * 3 + 1);
    const at = this.#length + 4;
    const { written } = encoder.encodeInto(value, this.#bytes.subarray(at));
    this.#view.setUint32(this.#length, written, true);
    this.#bytes[at + written] = 0;
    this.#length = at + written + 1;
    return this;
  }

  /** u32 length, bytes. */
  bytes(value: Uint8Array): this {
    this.u32(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** u32 count, then each item. */
  list<T>(items: readonly T[], write: (item: T) => void): this {
    this.u32(items.length);
    for (const item of items) write(item);
    return this;
  }

  /** Overwrites four bytes that were written before. */
  patchU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** A view of the written bytes; valid until the next write. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

export class WireReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #take(size: number): number {
    const at = this.#at;
    if (at + size > this.#bytes.length) throw new EngineError("internal", "the supervisor's message is too short");
    this.#at += size;
    return at;
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  text(): string {
    const length = this.u32();
    const at = this.#take(length + 1);
    return decoder.decode(this.#bytes.subarray(at, at + length));
  }
}
