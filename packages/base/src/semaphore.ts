/** At most so many at once; the others wait in the order in which they came. */
import { EngineError } from "./errors.ts";

export class Semaphore {
  #free: number;
  readonly #queue: (() => void)[] = [];

  constructor(count: number) {
    this.#free = Math.max(1, count);
  }

  get idle(): boolean {
    return this.#free > 0;
  }

  /** Runs `task` when there is room. @throws aborted when the signal aborts during the wait; the task then leaves the queue. */
  async run<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    await this.#acquire(signal);
    try {
      return await task();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }

  #acquire(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(new EngineError("aborted", "cancelled", { cause: signal.reason }));
    if (this.#free > 0) {
      this.#free--;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = (): void => {
        const at = this.#queue.indexOf(enter);
        if (at !== -1) this.#queue.splice(at, 1);
        reject(new EngineError("aborted", "cancelled", { cause: signal.reason }));
      };
      this.#queue.push(enter);
      signal.addEventListener("abort", leave, { once: true });
    });
  }
}
