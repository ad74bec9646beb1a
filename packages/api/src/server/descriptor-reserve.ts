/**
 * Keeps some descriptors in reserve. When a process has none left, the runtime tries to accept a waiting connection again and again, and
 * reports nothing. So a timer checks: when none is free, the reserve is released, so that clients can get an error. When the reserve is used up
 * too, no connection is accepted for a while.
 */
import { closeSync, openSync } from "node:fs";
import { untilLook, type Logger } from "@fathom/base";

const reserveCount = 8;
/** While clients are active, and while they are not: an idle daemon sleeps, also with connected clients. */
const intervalMs = 500;
const idleIntervalMs = 10_000;
/** How long after the last request. */
const busyForMs = 2000;

/** "short": the reserve is being used; "none": it is used up. */
export type DescriptorState = "enough" | "short" | "none";

export interface DescriptorReserveOptions {
  readonly logger: Logger;
  /** Called when the state has changed, and by the next checks until it returns true: its work is finished. */
  readonly onLook: (state: DescriptorState) => boolean;
  readonly now?: () => number;
  /** @throws when there is none */
  readonly open?: () => number;
  readonly close?: (fd: number) => void;
}

export class DescriptorReserve implements Disposable {
  readonly #options: DescriptorReserveOptions;
  readonly #open: () => number;
  readonly #close: (fd: number) => void;
  readonly #now: () => number;
  #busyUntil: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #intervalMs = 0;
  #spares: number[] = [];
  #state: DescriptorState = "enough";
  /** The callee of `onLook` has nothing left to do in this state. */
  #settled = true;

  constructor(options: DescriptorReserveOptions) {
    this.#options = options;
    this.#open = options.open ?? (() => openSync("/dev/null", "r"));
    this.#close = options.close ?? closeSync;
    this.#now = options.now ?? (() => performance.now());
    this.#busyUntil = this.#now() + busyForMs;
    this.#take(reserveCount);
    this.#arm();
  }

  /** A client connected, or sent a request. */
  wake(): void {
    this.#busyUntil = this.#now() + busyForMs;
    if (this.#intervalMs === idleIntervalMs) this.#arm();
  }

  /** Time from the last check to the next one; approximate when there is nothing to do. */
  get intervalMs(): number {
    return this.#intervalMs;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const isBusy = this.#now() < this.#busyUntil || this.#state !== "enough" || !this.#settled;
    this.#intervalMs = isBusy ? intervalMs : idleIntervalMs;
    this.#timer = setTimeout(() => this.lookAgain(), isBusy ? intervalMs : untilLook(idleIntervalMs, this.#now()));
    this.#timer.unref();
  }

  /** What the timer does. */
  lookAgain(): void {
    this.look();
    this.#arm();
  }

  get state(): DescriptorState {
    return this.#state;
  }

  /** Opens up to `count` more. */
  #take(count: number): void {
    try {
      while (count-- > 0) this.#spares.push(this.#open());
    } catch {
      // That is the purpose of the reserve.
    }
  }

  #give(): void {
    for (const fd of this.#spares.splice(0)) this.#close(fd);
  }

  look(): void {
    // In "enough" the reserve is held; one more open shows whether another descriptor is free.
    const wanted = reserveCount + 1;
    this.#take(wanted - this.#spares.length);
    const held = this.#spares.length;
    if (held === wanted) this.#close(this.#spares.pop()!);
    else this.#give();
    this.#become(held === wanted ? "enough" : held === 0 ? "none" : "short");
  }

  #become(state: DescriptorState): void {
    const before = this.#state;
    this.#state = state;
    if (state !== before) this.#report(before, state);
    if (state !== before || !this.#settled) this.#settled = this.#options.onLook(state);
  }

  #report(before: DescriptorState, state: DescriptorState): void {
    const { logger } = this.#options;
    if (before === "enough")
      logger.warn(
        "the daemon has no free descriptors: clients are refused until others end; raise its limit (LimitNOFILE, ulimit -n)",
      );
    else if (state === "enough") logger.info("the daemon has free descriptors again");
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#give();
  }
}
