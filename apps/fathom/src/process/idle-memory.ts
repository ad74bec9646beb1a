/**
 * Memory of an idle daemon. Most of its resident memory is the code of the JavaScript engine, used once at the start or during work. When no
 * request has come for a while, garbage is collected, and the pages of the program stay only in the page cache. The next request maps the pages
 * that it uses again: some hundred page faults without disk reads.
 */
import { heapSize } from "bun:jsc";
import { untilLook } from "@fathom/base";
import type { Sys } from "@fathom/sys";

/** Later than the end of a pull's worker threads, and longer than the pauses in a script of docker commands. */
export const quietMs = 3000;
/**
 * While requests come, garbage is collected in the background this often, if the heap has grown. Some data of a request (a container, an event)
 * stays in memory for long, and lies between the garbage of that request. More garbage scatters the data over more pages, and a later collection
 * cannot free these pages. A running container needs 15 kB of heap; without this collection it kept 68 kB.
 */
const busyMs = 1000;
const growthBytes = 1 << 20;
/** A collection in the background ends within this time. */
const collectionMs = 200;
const laterMs = [1500, 5000, 15_000, 60_000];
/** An idle daemon does its checks about this often: has a container ended without a report, is a descriptor free, did the event loop stand still? */
const lookMs = 5000;
/** The checks take less time than this. */
const lookTakesMs = 50;
/**
 * When this code has returned, its thread sleeps within this time. The pages are released then, by another thread: on its way from here to its sleep
 * this thread maps megabytes of the program, which would stay.
 */
const sleepsAfterMs = 20;

/** Runs `action` once after `ms`, unless the caller calls the result first. */
type Schedule = (action: () => void, ms: number) => () => void;

export interface IdleMemoryOptions {
  readonly sys: Pick<Sys, "releaseFilePages">;
  /** @param now true: collect before the function returns; false: collect in the background. */
  readonly collectGarbage?: (now: boolean) => void;
  readonly heapBytes?: () => number;
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
  /** The size of the heap after the last collection. */
  #bytes: number;
  #cancel: (() => void) | undefined;
  #isQuiet = false;
  #ended = false;

  constructor(options: IdleMemoryOptions) {
    this.#options = {
      collectGarbage: (now) => void Bun.gc(now),
      heapBytes: heapSize,
      schedule: timer,
      now: () => performance.now(),
      ...options,
    };
    this.#bytes = this.#options.heapBytes();
    this.touch();
  }

  /** Something happened. This is cheap: one timer runs at a time, and when it ends it checks how long it has been quiet. */
  touch(): void {
    if (this.#ended) return;
    this.#last = this.#options.now();
    if (this.#cancel !== undefined && !this.#isQuiet) return;
    this.#isQuiet = false;
    this.#after(busyMs, () => this.#look());
  }

  #after(ms: number, action: () => void): void {
    this.#cancel?.();
    this.#cancel = this.#options.schedule(action, ms);
  }

  #look(): void {
    const leftMs = quietMs - (this.#options.now() - this.#last);
    if (leftMs > 0) {
      const nextMs = Math.min(busyMs, Math.ceil(leftMs));
      if (this.#options.heapBytes() - this.#bytes < growthBytes) {
        this.#after(nextMs, () => this.#look());
        return;
      }
      this.#options.collectGarbage(false);
      this.#after(collectionMs, () => {
        this.#bytes = this.#options.heapBytes();
        this.#after(Math.max(0, nextMs - collectionMs), () => this.#look());
      });
      return;
    }
    this.#isQuiet = true;
    this.#options.collectGarbage(true);
    this.#bytes = this.#options.heapBytes();
    this.#options.sys.releaseFilePages(sleepsAfterMs);
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
      if (isTurn) this.#options.collectGarbage(true);
      this.#options.sys.releaseFilePages(sleepsAfterMs);
      if (isTurn) this.#releaseAgain(turn + 1, 0);
      else this.#releaseAgain(turn, waitedMs + afterMs);
    });
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#cancel?.();
  }
}
