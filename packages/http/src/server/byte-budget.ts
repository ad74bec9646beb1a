/** The bytes that all connections together may hold for bodies that are being read. A body without room waits its turn. */
import { EngineError } from "@fathom/base";

interface Waiter {
  readonly bytes: number;
  readonly resolve: () => void;
}

export class ByteBudget {
  readonly #total: number;
  #free: number;
  readonly #waiting = new Set<Waiter>();

  constructor(total: number) {
    this.#total = total;
    this.#free = total;
  }

  /** Bytes that are held now. */
  get held(): number {
    return this.#total - this.#free;
  }

  /** In the order of the requests. @throws unavailable when `signal` aborts before there is room */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#waiting.size === 0 && bytes <= this.#free) {
      this.#free -= bytes;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        bytes,
        resolve: () => {
          signal.removeEventListener("abort", giveUp);
          resolve();
        },
      };
      const giveUp = (): void => {
        this.#waiting.delete(waiter);
        this.#serve();
        reject(
          new EngineError(
            "unavailable",
            `too many large requests are under way: their bodies may be ${this.#total} bytes in all; try again`,
          ),
        );
      };
      if (signal.aborted) return giveUp();
      this.#waiting.add(waiter);
      signal.addEventListener("abort", giveUp, { once: true });
    });
  }

  give(bytes: number): void {
    this.#free += bytes;
    this.#serve();
  }

  #serve(): void {
    for (const waiter of this.#waiting) {
      if (waiter.bytes > this.#free) return;
      this.#waiting.delete(waiter);
      this.#free -= waiter.bytes;
      waiter.resolve();
    }
  }
}
