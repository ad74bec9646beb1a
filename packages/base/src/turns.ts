/** Splits long work on the daemon's one thread into small parts. Between two parts, everything else that waits can run. */

/** About 5 ms of parsing. */
const bytesInTurn = 256 * 1024;
const msInTurn = 10;

/**
 * All long tasks (of all callers) that wait for their next part. One of them works in each round of the event loop; otherwise a hundred parts would run in
 * a row.
 */
const waiting: (() => void)[] = [];

/** A task that is woken works before the next round begins. */
function wakeNext(): void {
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(wakeNext);
}

export class Turns {
  readonly #signal: AbortSignal | undefined;
  #bytes = 0;
  #began = performance.now();

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** Counts bytes of finished work. Returns undefined while the turn may continue, so that small work does not wait. @throws the signal's reason */
  after(bytes: number): Promise<void> | undefined {
    this.#bytes += bytes;
    if (this.#bytes < bytesInTurn && performance.now() - this.#began < msInTurn) return undefined;
    return this.end();
  }

  async end(): Promise<void> {
    await new Promise<void>((resolve) => {
      if (waiting.push(resolve) === 1) setImmediate(wakeNext);
    });
    this.#signal?.throwIfAborted();
    this.#bytes = 0;
    this.#began = performance.now();
  }
}
