/**
 * Measures how long the event loop of this thread stands: while it does, nobody is answered. A timer that is late by more than the thread waited
 * for a processor says so; what the thread did meanwhile, compute or wait in a system call, comes from the kernel's count for the thread.
 *
 * The timer is fast while there is something to do, and slow in between: an idle daemon sleeps. So a stall is seen shorter than it is
 * by up to one interval.
 */
import { closeSync, openSync, readSync } from "node:fs";
import type { Logger } from "./log.ts";

const busyIntervalMs = 25;
const idleIntervalMs = 500;
/** Without an operation or computing for this long, the timer is slow. */
const busyForMs = 2000;

/** Shorter ones are not kept. */
const keptMs = 30;
const keptStalls = 20;
/** Longer ones are a fault, and are logged. */
export const stallLimitMs = 200;

/** Operations that are named for a stall. */
const namedOperations = 8;

export interface Stall {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** How long the loop stood, without the time that the thread waited for a processor. */
  readonly ms: number;
  /** Of the interval that it was in: computing, waiting in system calls or for memory from the disk, waiting for a processor. */
  readonly computedMs: number;
  readonly blockedMs: number;
  readonly descheduledMs: number;
  /** What was under way, the newest first. */
  readonly during: readonly string[];
}

/** Nanoseconds of a thread since its beginning. */
export interface ThreadTimes {
  readonly computedNs: number;
  readonly descheduledNs: number;
}

export interface EventLoopMonitorOptions {
  readonly logger: Logger;
  readonly threadTimes?: () => ThreadTimes | undefined;
  readonly now?: () => number;
}

export class EventLoopMonitor implements Disposable {
  readonly #logger: Logger;
  readonly #threadTimes: () => ThreadTimes | undefined;
  readonly #now: () => number;
  readonly #close: () => void;
  readonly #underWay = new Set<{ readonly operation: string }>();
  #endedOperations: string[] = [];
  #stalls: Stall[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = 0;
  #before: ThreadTimes | undefined;
  #busyUntil = 0;
  #intervalMs = 0;
  #ended = false;

  constructor(options: EventLoopMonitorOptions) {
    const thread = options.threadTimes === undefined ? openThreadTimes() : undefined;
    this.#logger = options.logger;
    this.#threadTimes = options.threadTimes ?? thread!.read;
    this.#close = thread?.close ?? (() => undefined);
    this.#now = options.now ?? (() => performance.now());
    this.#busyUntil = this.#now() + busyForMs;
    this.#arm();
  }

  /** Names what is being done until the result is called. */
  begin(operation: string): () => void {
    const entry = { operation };
    this.#underWay.add(entry);
    this.#wake();
    return () => {
      if (this.#underWay.delete(entry) && this.#endedOperations.length < namedOperations)
        this.#endedOperations.push(operation);
      this.#busyUntil = this.#now() + busyForMs;
    };
  }

  /** The longest first. */
  longest(): readonly Stall[] {
    return this.#stalls;
  }

  #wake(): void {
    this.#busyUntil = this.#now() + busyForMs;
    if (this.#intervalMs === busyIntervalMs || this.#ended) return;
    clearTimeout(this.#timer);
    this.#arm();
  }

  #arm(): void {
    const now = this.#now();
    this.#intervalMs = now < this.#busyUntil ? busyIntervalMs : idleIntervalMs;
    this.#due = now + this.#intervalMs;
    this.#before = this.#threadTimes();
    this.#timer = setTimeout(() => this.#look(), this.#intervalMs);
    this.#timer.unref();
  }

  #look(): void {
    const now = this.#now();
    const after = this.#threadTimes();
    const since = (key: keyof ThreadTimes): number =>
      after === undefined || this.#before === undefined ? 0 : (after[key] - this.#before[key]) / 1e6;
    const computedMs = since("computedNs");
    const descheduledMs = since("descheduledNs");
    const ms = now - this.#due - descheduledMs;
    // Work that no operation is named for.
    if (computedMs > busyIntervalMs / 2) this.#busyUntil = now + busyForMs;
    if (ms >= keptMs)
      this.#keep({
        at: Date.now(),
        ms: Math.round(ms),
        computedMs: Math.round(computedMs),
        // The loop slept until the timer was due.
        blockedMs: Math.round(Math.max(0, ms - computedMs)),
        descheduledMs: Math.round(descheduledMs),
        during: this.#during(),
      });
    this.#endedOperations = [];
    if (!this.#ended) this.#arm();
  }

  #during(): string[] {
    const underWay = [...this.#underWay].map(({ operation }) => operation).toReversed();
    return [...new Set([...this.#endedOperations.toReversed(), ...underWay])].slice(0, namedOperations);
  }

  #keep(stall: Stall): void {
    this.#stalls = [...this.#stalls, stall].sort((a, b) => b.ms - a.ms).slice(0, keptStalls);
    if (stall.ms <= stallLimitMs) return;
    const { at: _at, ...fields } = stall;
    this.#logger.warn("the event loop stood still: no request was answered meanwhile", fields);
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#close();
  }
}

/** What the kernel counts for the thread that calls it (proc_pid_schedstat(5)); nothing where it does not count. */
function openThreadTimes(): { read: () => ThreadTimes | undefined; close: () => void } {
  let fd: number;
  try {
    fd = openSync("/proc/thread-self/schedstat", "r");
  } catch {
    return { read: () => undefined, close: () => undefined };
  }
  const buffer = Buffer.alloc(128);
  return {
    read: () => {
      const [computed, descheduled] = buffer.toString("latin1", 0, readSync(fd, buffer, 0, 128, 0)).split(" ");
      return { computedNs: Number(computed), descheduledNs: Number(descheduled) };
    },
    close: () => closeSync(fd),
  };
}
