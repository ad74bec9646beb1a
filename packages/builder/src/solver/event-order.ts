/**
 * Stages run at the same time; their events come in the order of the file. The events of a stage wait until the stages before it are done. A stage
 * with many waiting events waits itself; a stage before it never needs it.
 */
import type { BuildEvent, EmitBuildEvent } from "../contract.ts";

const mostWaiting = 512;

export class EventOrder {
  readonly #emit: EmitBuildEvent;
  readonly #order: readonly number[];
  readonly #waiting = new Map<number, BuildEvent[]>();
  readonly #ended = new Set<number>();
  #turn = 0;
  #turnCame = Promise.withResolvers<void>();
  /** One event after another. */
  #last: Promise<void> = Promise.resolve();

  constructor(order: readonly number[], emit: EmitBuildEvent) {
    this.#order = order;
    this.#emit = emit;
  }

  async emit(stage: number, event: BuildEvent): Promise<void> {
    for (;;) {
      if (this.#order[this.#turn] === stage) return this.#send(event);
      const waiting = this.#waiting.get(stage) ?? [];
      if (waiting.length < mostWaiting) {
        this.#waiting.set(stage, [...waiting, event]);
        return;
      }
      await this.#turnCame.promise;
    }
  }

  async end(stage: number): Promise<void> {
    this.#ended.add(stage);
    while (this.#turn < this.#order.length && this.#ended.has(this.#order[this.#turn]!)) {
      this.#turn++;
      const next = this.#order[this.#turn];
      const events = next === undefined ? [] : (this.#waiting.get(next) ?? []);
      if (next !== undefined) this.#waiting.delete(next);
      const came = this.#turnCame;
      this.#turnCame = Promise.withResolvers<void>();
      const sent = events.map((event) => this.#send(event));
      came.resolve();
      await Promise.all(sent);
    }
  }

  #send(event: BuildEvent): Promise<void> {
    const sent = this.#last.then(() => this.#emit(event));
    this.#last = sent.catch(() => undefined);
    return sent;
  }
}
