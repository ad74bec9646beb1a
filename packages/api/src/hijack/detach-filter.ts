/** Finds the detach keys in a client's input, also across packets. If held keys turn out to be something else, they are passed to the process. */

export interface FilterResult {
  /** Bytes for the process. */
  readonly forward: Uint8Array;
  /** The sequence is complete: bytes after it are dropped. */
  readonly detached: boolean;
}

export class DetachFilter {
  readonly #keys: Uint8Array;
  /** How many keys of the sequence have come. */
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  push(data: Uint8Array): FilterResult {
    const keys = this.#keys;
    if (keys.length === 0) return { forward: data, detached: false };
    // The usual case needs only one search.
    if (this.#matched === 0 && data.indexOf(keys[0]!) < 0) return { forward: data, detached: false };
    const out = new Uint8Array(data.length + this.#matched);
    let length = 0;
    for (const byte of data) {
      if (byte === keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === keys.length) return { forward: out.subarray(0, length), detached: true };
        continue;
      }
      // The longest matching beginning of the sequence is held back; bytes before it are passed on.
      let matched = this.#matched;
      while (matched > 0) {
        const shorter = this.#fallback(matched);
        out.set(keys.subarray(0, matched - shorter), length);
        length += matched - shorter;
        matched = shorter;
        if (byte === keys[matched]) break;
      }
      if (byte === keys[matched]) this.#matched = matched + 1;
      else {
        this.#matched = 0;
        out[length++] = byte;
      }
    }
    return { forward: out.subarray(0, length), detached: false };
  }

  /** The held-back bytes, when no more keys come. */
  flush(): Uint8Array {
    const held = this.#keys.subarray(0, this.#matched);
    this.#matched = 0;
    return held;
  }

  /** The longest proper prefix of the first `matched` keys that is also their suffix. Sequences have only a few keys. */
  #fallback(matched: number): number {
    for (let length = matched - 1; length > 0; length--)
      if (this.#keys.subarray(0, length).every((key, index) => key === this.#keys[matched - length + index]))
        return length;
    return 0;
  }
}
