/**
 * Stages run at the same time; their events come in the order of the file. The events of a stage wait until the stages before it are done. The
 * stage itself never waits for its turn, because it may hold a place that a stage before it needs, or that stage may have failed. So its waiting
 * output has a limit, and a line says when more was left out, as in BuildKit.
 */
import type { BuildEvent, EmitBuildEvent } from "../contract.ts";

/** Of the output of one stage that waits. */
const waitingBytes = 2 << 20;
/** Of other events that may be many: the progress of a pull. */
const waitingEvents = 4096;
const clipped = Buffer.from("[output clipped, log limit 2MiB reached]\n");

interface Waiting {
  readonly events: BuildEvent[];
  bytes: number;
}

export class EventOrder {
  readonly #emit: EmitBuildEvent;
  readonly #order: readonly number[];
  readonly #waiting = new Map<number, Waiting>();
  readonly #ended = new Set<number>();
  #turn = 0;
  /** One event after another. */
  #last: Promise<void> = Promise.resolve();

  constructor(order: readonly number[], emit: EmitBuildEvent) {
    this.#order = order;
    this.#emit = emit;
  }

  async emit(stage: number, event: BuildEvent): Promise<void> {
    if (this.#order[this.#turn] === stage) return this.#send(event);
    const waiting = this.#waiting.get(stage) ?? { events: [], bytes: 0 };
    this.#waiting.set(stage, waiting);
    if (event.kind === "pull" && waiting.events.length >= waitingEvents) return;
    if (event.kind !== "output") return void waiting.events.push(event);
    if (waiting.bytes > waitingBytes) return;
    waiting.bytes += event.bytes.length;
    const fits = waiting.bytes <= waitingBytes;
    waiting.events.push(fits ? event : { ...event, bytes: clipped });
  }

  async end(stage: number): Promise<void> {
    this.#ended.add(stage);
    while (this.#turn < this.#order.length && this.#ended.has(this.#order[this.#turn]!)) {
      this.#turn++;
      const next = this.#order[this.#turn];
      const events = next === undefined ? [] : (this.#waiting.get(next)?.events ?? []);
      if (next !== undefined) this.#waiting.delete(next);
      await Promise.all(events.map((event) => this.#send(event)));
    }
  }

  #send(event: BuildEvent): Promise<void> {
    const sent = this.#last.then(() => this.#emit(event));
    this.#last = sent.catch(() => undefined);
    return sent;
  }
}
