/** Bytes that arrived and are not taken yet. */
export class InputBuffer {
  #bytes: Buffer = Buffer.alloc(0);
  /** The buffer of `#bytes` when they came in pieces, with free room at the end: a new byte must not cost a copy of all earlier ones. */
  #store: Buffer | undefined;

  get length(): number {
    return this.#bytes.length;
  }

  /** All bytes, only to look at. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  append(data: Buffer): void {
    const before = this.#bytes;
    if (before.length === 0) {
      this.#bytes = data;
      this.#store = undefined;
      return;
    }
    const size = before.length + data.length;
    let store = this.#store;
    let start = store === undefined ? 0 : before.byteOffset - store.byteOffset;
    if (store === undefined || start + size > store.length) {
      store = Buffer.allocUnsafe(2 * size);
      start = 0;
      before.copy(store);
      this.#store = store;
    }
    data.copy(store, start + before.length);
    this.#bytes = store.subarray(start, start + size);
  }

  /** Drops the first bytes. */
  consume(length: number): void {
    this.#bytes = this.#bytes.subarray(length);
  }

  /** All bytes; the caller owns them from then on. */
  take(): Buffer {
    const bytes = this.#bytes;
    this.#bytes = Buffer.alloc(0);
    this.#store = undefined;
    return bytes;
  }

  /** Puts back what was taken too much. */
  unread(rest: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? rest : Buffer.concat([rest, this.#bytes]);
    this.#store = undefined;
  }
}
