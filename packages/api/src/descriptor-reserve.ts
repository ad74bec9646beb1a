/**
 * Some descriptors in reserve. Where a process has none left, the runtime tries to accept a waiting connection again and again, and nobody hears of
 * it. So it is looked at by time: when none is free the reserve is, and with it clients can be told; when that is used up too, nobody is accepted
 * for a while.
 */
import { closeSync, openSync } from "node:fs";
import type { Logger } from "@fathom/base";

const reserveCount = 8;
/** While there are clients, and while there are none: an idle daemon sleeps. */
const intervalMs = 500;
const idleIntervalMs = 10_000;

/** "short": the reserve is being used; "none": it is used up. */
export type DescriptorState = "enough" | "short" | "none";

export interface DescriptorReserveOptions {
  readonly logger: Logger;
  readonly onChange: (state: DescriptorState) => void;
  /** Whether there are clients; true when absent. */
  readonly isBusy?: () => boolean;
  /** @throws when there is none */
  readonly open?: () => number;
  readonly close?: (fd: number) => void;
}

export class DescriptorReserve implements Disposable {
  readonly #options: DescriptorReserveOptions;
  readonly #open: () => number;
  readonly #close: (fd: number) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #intervalMs = 0;
  #spares: number[] = [];
  #state: DescriptorState = "enough";

  constructor(options: DescriptorReserveOptions) {
    this.#options = options;
    this.#open = options.open ?? (() => openSync("/dev/null", "r"));
    this.#close = options.close ?? closeSync;
    this.#take(reserveCount);
    this.#arm();
  }

  /** A client came. */
  wake(): void {
    if (this.#intervalMs === idleIntervalMs) this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#intervalMs = (this.#options.isBusy?.() ?? true) || this.#state !== "enough" ? intervalMs : idleIntervalMs;
    this.#timer = setTimeout(() => {
      this.look();
      this.#arm();
    }, this.#intervalMs);
    this.#timer.unref();
  }

  get state(): DescriptorState {
    return this.#state;
  }

  /** Takes up to `count` more. */
  #take(count: number): void {
    try {
      while (count-- > 0) this.#spares.push(this.#open());
    } catch {
      // That is what it is for.
    }
  }

  #give(): void {
    for (const fd of this.#spares.splice(0)) this.#close(fd);
  }

  look(): void {
    // In "enough" the reserve is held, and one more shows whether any is free beside it.
    const wanted = reserveCount + 1;
    this.#take(wanted - this.#spares.length);
    const held = this.#spares.length;
    if (held === wanted) this.#close(this.#spares.pop()!);
    else this.#give();
    this.#become(held === wanted ? "enough" : held === 0 ? "none" : "short");
  }

  #become(state: DescriptorState): void {
    const before = this.#state;
    if (state === before) return;
    this.#state = state;
    const { logger, onChange } = this.#options;
    if (before === "enough")
      logger.warn(
        "the daemon has no free descriptors: clients are refused until others end; raise its limit (LimitNOFILE, ulimit -n)",
      );
    else if (state === "enough") logger.info("the daemon has free descriptors again");
    onChange(state);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#give();
  }
}
