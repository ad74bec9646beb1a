/**
 * Memory of an idle daemon. Most of its resident memory is the code of the JavaScript engine, used once at the start or during work. When no
 * request has come for a while, garbage is collected, and the pages of the program stay only in the page cache. The next request maps the pages
 * that it uses again: some hundred page faults without disk reads.
 */
import { untilLook } from "@fathom/base";
import type { Sys } from "@fathom/sys";

/** Later than the end of a pull's worker threads, and longer than the pauses in a script of docker commands. */
export const quietMs = 3000;
const laterMs = [1500, 5000, 15_000, 60_000];
/** An idle daemon does its checks about this often: has a container ended without a report, is a descriptor free, did the event loop stand still? */
const lookMs = 5000;
/** The checks take less time than this. */
const lookTakesMs = 50;

/** Runs `action` once after `ms`, unless the caller calls the result first. */
type Schedule = (action: () => void, ms: number) => () => void;

export interface IdleMemoryOptions {
  readonly sys: Pick<Sys, "releaseFilePages">;
  readonly collectGarbage?: () => void;
  readonly schedule?: Schedule;
  readonly now?: () => number;
}

const timer: Schedule = (action, ms) => {
  const handle = setTimeout(action, ms);
  handle.unref();
  return () => clearTimeout(handle);
};

export class IdleMemory implements Disposable {
  readonly #options: Required<IdleMemoryOptions>;
  #last = 0;
  #cancel: (() => void) | undefined;
  #isQuiet = false;
  #ended = false;

  constructor(options: IdleMemoryOptions) {
    this.#options = {
      collectGarbage: () => Bun.gc(true),
      schedule: timer,
      now: () => performance.now(),
      ...options,
    };
    this.touch();
  }

  /** Something happened. This is cheap: one timer runs at a time, and when it ends it checks how long it has been quiet. */
  touch(): void {
    if (this.#ended) return;
    this.#last = this.#options.now();
    if (this.#cancel !== undefined && !this.#isQuiet) return;
    this.#isQuiet = false;
    this.#after(quietMs, () => this.#look());
  }

  #after(ms: number, action: () => void): void {
    this.#cancel?.();
    this.#cancel = this.#options.schedule(action, ms);
  }

  #look(): void {
    const left = quietMs - (this.#options.now() - this.#last);
    if (left > 0) {
      this.#after(Math.ceil(left), () => this.#look());
      return;
    }
    this.#isQuiet = true;
    this.#options.collectGarbage();
    this.#options.sys.releaseFilePages();
    this.#releaseAgain(0, 0);
  }

  /**
   * Work that a request leaves for later (files made durable, layers removed, threads that end) makes garbage and maps pages again, but is no
   * request: so both are released once more after it. The collector also drops code that has not run for a while. The checks of an idle daemon
   * make almost no garbage, but they map megabytes, which would stay until the next request: so pages are released after each check.
   */
  #releaseAgain(turn: number, waitedMs: number): void {
    const leftMs = (laterMs[turn] ?? Infinity) - waitedMs;
    const afterMs = Math.min(leftMs, untilLook(lookMs, this.#options.now(), 0) + lookTakesMs);
    this.#after(afterMs, () => {
      const isTurn = afterMs === leftMs;
      if (isTurn) this.#options.collectGarbage();
      this.#options.sys.releaseFilePages();
      if (isTurn) this.#releaseAgain(turn + 1, 0);
      else this.#releaseAgain(turn, waitedMs + afterMs);
    });
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#cancel?.();
  }
}
