/** Events of the fake: kept, and passed to listeners. */
import { EngineError } from "@fathom/base";
import type { EventMessage, Filters } from "@fathom/spec";

export class FakeEvents {
  readonly events: EventMessage[] = [];
  readonly #listeners = new Set<() => void>();

  /** How many clients listen. */
  get listeners(): number {
    return this.#listeners.size;
  }

  publish(action: string, id: string, image: string): void {
    const time = Date.now();
    const Actor = { ID: id, Attributes: { image } };
    const timeNano = BigInt(time) * 1_000_000n;
    const old = { status: action, id, from: image };
    this.add({
      ...old,
      Type: "container",
      Action: action,
      Actor,
      scope: "local",
      time: Math.floor(time / 1000),
      timeNano,
    });
  }

  add(event: EventMessage): void {
    this.events.push(event);
    for (const wake of this.#listeners) wake();
  }

  /** Listening starts with this call. */
  subscribe(
    { since, until, filters }: { since: bigint | undefined; until: bigint | undefined; filters: Filters },
    signal: AbortSignal,
  ): AsyncIterable<EventMessage> {
    for (const key of Object.keys(filters)) throw new EngineError("invalid-argument", `invalid filter '${key}'`);
    return this.#from(since === undefined ? this.events.length : 0, until, signal);
  }

  async *#from(from: number, until: bigint | undefined, signal: AbortSignal): AsyncGenerator<EventMessage> {
    for (let at = from; ;) {
      while (at < this.events.length) yield this.events[at++]!;
      // The fake does not wait for an end in the future: no test needs it.
      if (signal.aborted || until !== undefined) return;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#listeners.delete(wake);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        this.#listeners.add(wake);
        signal.addEventListener("abort", wake);
      });
    }
  }
}
