/** Long work on the daemon's one thread in small parts: between two parts whatever else waits has its turn. */

/** About 5 ms of parsing. */
const bytesInTurn = 256 * 1024;
const msInTurn = 10;

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
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#signal?.throwIfAborted();
    this.#bytes = 0;
    this.#began = performance.now();
  }
}
