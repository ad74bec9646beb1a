/** Shared by the engine's thread and a copying thread: how much is copied, and whether to stop. */
import { EngineError } from "@fathom/base";
import type { CopyWatch } from "./copy-tree.ts";

export interface CopyRequest {
  /** Descriptors of directories; the copying thread owns them from then on. `to` is a path when opening it may take long: the thread opens it. */
  readonly from: number;
  readonly to: number | { readonly path: string; readonly subpath: string };
  readonly control: SharedArrayBuffer;
  /** For messages: "fill the volume x". */
  readonly action: string;
}

const stopAt = 0;
const entriesAt = 1;
const bytesAt = 2;

export class CopyControl implements CopyWatch {
  readonly #numbers: BigInt64Array;

  constructor(readonly buffer = new SharedArrayBuffer(24)) {
    this.#numbers = new BigInt64Array(buffer);
  }

  stop(): void {
    Atomics.store(this.#numbers, stopAt, 1n);
  }

  get entries(): number {
    return Number(Atomics.load(this.#numbers, entriesAt));
  }

  get bytesCopied(): number {
    return Number(Atomics.load(this.#numbers, bytesAt));
  }

  entry(): void {
    this.#check();
    Atomics.add(this.#numbers, entriesAt, 1n);
  }

  bytes(count: number): void {
    this.#check();
    Atomics.add(this.#numbers, bytesAt, BigInt(count));
  }

  #check(): void {
    if (Atomics.load(this.#numbers, stopAt) !== 0n) throw new EngineError("aborted", "the copy was cancelled");
  }
}
