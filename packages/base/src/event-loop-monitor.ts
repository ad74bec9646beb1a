/**
 * Measures how long the event loop of this thread stands still; during that time the daemon answers nobody.
 * A timer shows a stall: the timer fires later than it should, and the thread's wait for a processor does not explain all of the delay. The kernel's
 * counters for the thread say what the thread did meanwhile: it computed, or it waited in a system call.
 *
 * The timer is fast while there is work, and slow otherwise, so that an idle daemon sleeps. A measured stall may therefore be shorter than the real one, by
 * up to one interval.
 */
import { closeSync, openSync, readSync } from "node:fs";
import type { Logger } from "./log.ts";
import { untilLook } from "./time/timer.ts";

const busyIntervalMs = 25;
/** An idle daemon has released pages of the program. Each look loads some of them again, so it looks seldom. */
const defaultIdleIntervalMs = 10_000;
/** After this long without an operation and without computing, the timer becomes slow. */
const busyForMs = 2000;
/**
 * The thread does more than housekeeping (garbage collection, timers) when it computes for more than this share of a fast (`busyShare`) or slow
 * (`idleShare`) interval.
 */
const busyShare = 1 / 2;
const idleShare = 1 / 20;

/** The monitor does not keep shorter stalls. */
const keptMs = 30;
const keptStalls = 20;
/** A longer stall is a fault; the monitor logs it. */
const stallLimitMs = 200;

/** A stall names at most this many operations. */
const namedOperations = 8;

export interface Stall {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** How long the loop stood still, without the time in which the thread waited for a processor. */
  readonly ms: number;
  /** How the interval that contains the stall was spent: computing, waiting (in system calls, or for memory from the disk), waiting for a processor. */
  readonly computedMs: number;
  readonly blockedMs: number;
  readonly descheduledMs: number;
  /** How much of the blocked time a disk may explain: at least one disk was busy for this long. The requests may be any program's. */
  readonly diskBusyMs: number;
  /**
   * How much of the blocked time a lack of processors may explain: at least one thread of the machine waited for a processor for this long. While
   * this thread starts a process, it is blocked until the new process has run.
   */
  readonly processorsShortMs: number;
  /** The operations that were running, the newest first. */
  readonly during: readonly string[];
}

/** Counters of a thread since its start, in nanoseconds. */
export interface ThreadTimes {
  readonly computedNs: number;
  readonly descheduledNs: number;
  /** Milliseconds in which the machine's disks were busy. */
  readonly diskBusyMs: number;
  /** Milliseconds in which some thread of the machine waited for a processor. */
  readonly processorsShortMs: number;
}

export interface EventLoopMonitorOptions {
  readonly logger: Logger;
  readonly threadTimes?: () => ThreadTimes | undefined;
  readonly now?: () => number;
  /** Time between two looks when there is nothing to do. */
  readonly idleIntervalMs?: number;
}

export class EventLoopMonitor implements Disposable {
  readonly #logger: Logger;
  readonly #threadTimes: () => ThreadTimes | undefined;
  readonly #now: () => number;
  readonly #idleIntervalMs: number;
  readonly #close: () => void;
  readonly #underWay = new Set<{ readonly operation: string }>();
  #endedOperations: string[] = [];
  #stalls: Stall[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = 0;
  #before: ThreadTimes | undefined;
  #busyUntil = 0;
  #intervalMs = 0;
  #isFast = false;
  #ended = false;

  constructor(options: EventLoopMonitorOptions) {
    const thread = options.threadTimes === undefined ? openThreadTimes() : undefined;
    this.#logger = options.logger;
    this.#threadTimes = options.threadTimes ?? thread!.read;
    this.#close = thread?.close ?? (() => undefined);
    this.#now = options.now ?? (() => performance.now());
    this.#idleIntervalMs = options.idleIntervalMs ?? defaultIdleIntervalMs;
    this.#busyUntil = this.#now() + busyForMs;
    this.#arm();
  }

  /** Names an operation that begins now. It ends when the caller calls the result. */
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

  /** The longest stalls, the longest first. */
  longest(): readonly Stall[] {
    return this.#stalls;
  }

  /** Whether the monitor looks often now. */
  get isFast(): boolean {
    return this.#isFast;
  }

  #wake(): void {
    this.#busyUntil = this.#now() + busyForMs;
    if (!this.isFast && !this.#ended) this.#arm();
  }

  #arm(times: ThreadTimes | undefined = this.#threadTimes()): void {
    const now = this.#now();
    const isFast = now < this.#busyUntil;
    const intervalMs = isFast ? busyIntervalMs : untilLook(this.#idleIntervalMs, now);
    this.#due = now + intervalMs;
    this.#before = times;
    if (this.#timer !== undefined && isFast && this.#isFast) this.#timer.refresh();
    else {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#look(), intervalMs);
      this.#timer.unref();
    }
    this.#intervalMs = intervalMs;
    this.#isFast = isFast;
  }

  #look(): void {
    const now = this.#now();
    const after = this.#threadTimes();
    const since = (key: keyof ThreadTimes): number =>
      after === undefined || this.#before === undefined ? 0 : after[key] - this.#before[key];
    const computedMs = since("computedNs") / 1e6;
    const descheduledMs = since("descheduledNs") / 1e6;
    const ms = now - this.#due - descheduledMs;
    // The thread computed, but nobody named an operation.
    if (computedMs > this.#intervalMs * (this.isFast ? busyShare : idleShare)) this.#busyUntil = now + busyForMs;
    // The loop slept until the timer was due.
    const blockedMs = Math.max(0, ms - computedMs);
    if (ms >= keptMs)
      this.#keep({
        at: Date.now(),
        ms: Math.round(ms),
        computedMs: Math.round(computedMs),
        blockedMs: Math.round(blockedMs),
        descheduledMs: Math.round(descheduledMs),
        diskBusyMs: Math.round(Math.min(blockedMs, since("diskBusyMs"))),
        processorsShortMs: Math.round(Math.min(blockedMs, since("processorsShortMs"))),
        during: this.#during(),
      });
    this.#endedOperations = [];
    if (!this.#ended) this.#arm(after);
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

/** The kernel's counters for the calling thread (proc_pid_schedstat(5)), for disks and for processors. Undefined where the kernel does not count. */
function openThreadTimes(): { read: () => ThreadTimes | undefined; close: () => void } {
  const thread = openText("/proc/thread-self/schedstat", 256);
  const disks = openText("/proc/diskstats", 16 * 1024);
  const pressure = openText("/proc/pressure/cpu", 512);
  return {
    read: () => {
      const [computed, descheduled] = thread.read()().split(" ");
      if (descheduled === undefined) return undefined;
      const disksText = disks.read();
      const pressureText = pressure.read();
      return {
        computedNs: Number(computed),
        descheduledNs: Number(descheduled),
        // Reading the disks' counters costs time: read them only for a stall.
        get diskBusyMs() {
          return busyMs(disksText());
        },
        get processorsShortMs() {
          // In microseconds; see the kernel's Documentation/accounting/psi.rst.
          return Number(/^some .*total=(\d+)/.exec(pressureText())?.[1] ?? 0) / 1000;
        },
      };
    },
    close: () => {
      thread.close();
      disks.close();
      pressure.close();
    },
  };
}

/** The 10th number of each disk, without memory disks; see the kernel's Documentation/admin-guide/iostats.rst. */
function busyMs(text: string): number {
  let sum = 0;
  for (const [, figure] of text.matchAll(/^ *\d+ +\d+ (?!loop|ram|zram)\S+(?: \d+){9} (\d+)/gm)) sum += Number(figure);
  return sum;
}

/** A file of /proc that is read many times. If it does not exist, its text is empty. The text that `read` returns is valid until the second `read` after it. */
function openText(path: string, bytes: number): { read: () => () => string; close: () => void } {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return { read: () => () => "", close: () => undefined };
  }
  let buffer = Buffer.alloc(bytes);
  let other = Buffer.alloc(bytes);
  return {
    read: () => {
      [buffer, other] = [other, buffer];
      const own = buffer;
      const length = readSync(fd, own, 0, own.length, 0);
      return () => own.toString("latin1", 0, length);
    },
    close: () => closeSync(fd),
  };
}
