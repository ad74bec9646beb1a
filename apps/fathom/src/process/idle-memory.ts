/**
 * Memory of an idle daemon. Most of what it has resident is the text of the JavaScript engine, touched once at the start or in a busy
 * moment. When no request has come for a while the garbage goes, and the pages of the program go back to the page cache alone; what the next
 * request touches is mapped again, some hundred page faults without disk reads.
 */
import type { Sys } from "@fathom/sys";

/** Later than a pull's worker threads end, and than the pauses in a script of docker commands. */
export const quietMs = 3000;
const laterMs = [1500, 5000, 15_000, 60_000];

export interface IdleMemoryOptions {
  readonly sys: Pick<Sys, "releaseFilePages">;
  readonly collectGarbage?: () => void;
  readonly quietMs?: number;
}

export class IdleMemory implements Disposable {
  readonly #options: Required<IdleMemoryOptions>;
  #last = performance.now();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(options: IdleMemoryOptions) {
    this.#options = { quietMs, collectGarbage: () => Bun.gc(true), ...options };
    this.touch();
  }

  /** Something happened. Cheap: one timer runs at a time, and looks when it ends how long it has been quiet. */
  touch(): void {
    if (this.#ended) return;
    this.#last = performance.now();
    this.#timer ??= this.#after(this.#options.quietMs);
  }

  #after(ms: number): ReturnType<typeof setTimeout> {
    const timer = setTimeout(() => this.#look(), ms);
    timer.unref();
    return timer;
  }

  #look(): void {
    const left = this.#options.quietMs - (performance.now() - this.#last);
    if (left > 0) {
      this.#timer = this.#after(Math.ceil(left));
      return;
    }
    this.#timer = undefined;
    this.#options.collectGarbage();
    this.#options.sys.releaseFilePages();
    this.#releaseAgain(0);
  }

  /**
   * What a request leaves to be done later (files made durable, layers removed, threads that end) makes garbage, maps pages again and is no request: they
   * go once more behind it. The collector also lets go of code then that has not run for a while. Then there is no timer until the next request: an idle daemon sleeps.
   */
  #releaseAgain(turn: number): void {
    const afterMs = laterMs[turn];
    if (afterMs === undefined) return;
    const last = this.#last;
    const timer = setTimeout(() => {
      if (this.#ended || this.#last !== last) return;
      this.#options.collectGarbage();
      this.#options.sys.releaseFilePages();
      this.#releaseAgain(turn + 1);
    }, afterMs);
    timer.unref();
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }
}
