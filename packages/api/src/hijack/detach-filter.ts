/** Finds the detach keys in what a client types, across packets. Keys that turn out to be something else reach the process after all. */

export interface FilterResult {
  /** Bytes for the process. */
  readonly forward: Uint8Array;
  /** The sequence is complete: nothing behind it counts. */
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
    // The usual case costs one search.
    if (this.#matched === 0 && data.indexOf(keys[0]!) < 0) return { forward: data, detached: false };
    const out = new Uint8Array(data.length + this.#matched);
    let length = 0;
    for (const byte of data) {
      if (byte === keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === keys.length) return { forward: out.subarray(0, length), detached: true };
        continue;
      }
      // The longest start of the sequence that still fits stays held back; what is before it goes on.
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

  /** What was held back, when no more keys come. */
  flush(): Uint8Array {
    const held = this.#keys.subarray(0, this.#matched);
    this.#matched = 0;
    return held;
  }

  /** The longest proper start of the sequence's first `matched` keys that is also their end. Sequences have a few keys. */
  #fallback(matched: number): number {
    for (let length = matched - 1; length > 0; length--)
      if (this.#keys.subarray(0, length).every((key, index) => key === this.#keys[matched - length + index]))
        return length;
    return 0;
  }
}
