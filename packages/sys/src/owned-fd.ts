import type { Sys } from "./contract.ts";

/** A descriptor with a lifetime: closed once, with `using` or `close`, or passed on with `release`. */
export class OwnedFd implements Disposable {
  readonly #sys: Pick<Sys, "close">;
  #fd: number;

  constructor(sys: Pick<Sys, "close">, fd: number) {
    this.#sys = sys;
    this.#fd = fd;
  }

  /** The number. Throws after close or release, because an old number may already belong to another file. */
  get fd(): number {
    if (this.#fd < 0) throw new Error("descriptor used after close");
    return this.#fd;
  }

  /** Passes the number on: the caller closes it from here on. */
  release(): number {
    const fd = this.fd;
    this.#fd = -1;
    return fd;
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    this.#sys.close(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
