/** Long work on the daemon's one thread in small parts: between two parts whatever else waits has its turn. */

/** About 5 ms of parsing. */
const bytesInTurn = 256 * 1024;
const msInTurn = 10;

/** Long works that wait for their next part, those of everybody: one a round of the event loop, or a hundred of them would stand in a row. */
const waiting: (() => void)[] = [];

/** What is woken works before the next round. */
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

  /** Counts bytes that were worked on; undefined while the turn may go on, so that small work waits for nothing. @throws the signal's reason */
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
