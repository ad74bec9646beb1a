/** What was read and waits for the receiver: a ring in memory with a limit. */
import { deferred, type Deferred } from "@fathom/base";
import type { ShippedRecord } from "./destination.ts";
import type { SpoolPosition } from "./position-file.ts";

export interface Waiting {
  readonly record: ShippedRecord;
  /** Present with the last record of a part of the spool. */
  readonly after?: SpoolPosition;
}

/** So much is sent at once, at most. */
const batchBytes = 64 * 1024;

export class Backlog {
  readonly #limitBytes: number;
  #queue: Waiting[] = [];
  #bytes = 0;
  #dropped = 0;
  #arrived: Deferred<void> | undefined;
  #taken: Deferred<void> | undefined;
  #ended = false;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Number of records that had no room, since the last question. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  /** A record that is larger than the limit fits when nothing else waits. */
  fits({ record }: Waiting): boolean {
    return this.#queue.length === 0 || this.#bytes + record.line.length <= this.#limitBytes;
  }

  /** False when there is no room: the record is dropped and counted. */
  push(waiting: Waiting): boolean {
    if (!this.fits(waiting)) {
      this.#dropped++;
      return false;
    }
    this.#queue.push(waiting);
    this.#bytes += waiting.record.line.length;
    this.#arrived?.resolve();
    return true;
  }

  /** Nothing more comes. */
  end(): void {
    this.#ended = true;
    this.#arrived?.resolve();
  }

  /** Resolves when something was taken out. */
  room(): Promise<void> {
    return (this.#taken ??= deferred<void>()).promise;
  }

  /** The next batch, in order; undefined at the end. It stays counted until `done`. */
  async batch(): Promise<readonly Waiting[] | undefined> {
    while (this.#queue.length === 0) {
      if (this.#ended) return undefined;
      this.#arrived = deferred<void>();
      await this.#arrived.promise;
      this.#arrived = undefined;
    }
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && (count === 0 || bytes < batchBytes))
      bytes += this.#queue[count++]!.record.line.length;
    return this.#queue.slice(0, count);
  }

  done(batch: readonly Waiting[]): void {
    this.#queue = this.#queue.slice(batch.length);
    for (const { record } of batch) this.#bytes -= record.line.length;
    this.#taken?.resolve();
    this.#taken = undefined;
  }
}
