/**
 * What happened, in order: a ring in memory and live listeners. Publishing never waits; a listener that does not read in time
 * loses the oldest of its own queue, and the ring keeps the newest `ringSize`.
 */
import { sortedKeys, type Clock } from "@fathom/base";
import type { EventMessage, Filters } from "@fathom/spec";
import type { EventPublisher, EventType } from "./contract.ts";
import { compileEventFilter } from "./event-filter.ts";

const ringSize = 1024;
/** A time so far behind that of the last event comes from a clock that was set. */
const setBackNs = 1_000_000_000n;
/** How often a listener with an end looks at the clock: it may be set. */
const longestLookMs = 10_000;
/** Events that wait for one slow listener. */
const queueLimit = 16_384;

interface Listener {
  readonly queue: EventMessage[];
  lost: number;
  wake: (() => void) | undefined;
}

export interface EventQuery {
  /** Nanoseconds since the epoch. Without it only live events are given. */
  readonly since: bigint | undefined;
  readonly until: bigint | undefined;
  readonly filters: Filters;
}

export class Events implements EventPublisher {
  readonly #clock: Clock;
  readonly #ring: EventMessage[] = [];
  readonly #listeners = new Set<Listener>();
  #lastNs = 0n;
  readonly #lost: () => void;

  /** @param lost Called when a listener begins to lose events, because it does not read them. */
  constructor(clock: Clock, lost: () => void = () => undefined) {
    this.#clock = clock;
    this.#lost = lost;
  }

  publish(type: EventType, action: string, actorId: string, attributes: Readonly<Record<string, string>>): void {
    // Two events never share a time: `--since` the time of one must not give another again.
    const now = this.#clock.nowNs();
    // Unless the clock was set back.
    this.#lastNs = now > this.#lastNs || this.#lastNs - now > setBackNs ? now : this.#lastNs + 1n;
    const event: EventMessage = {
      ...(type === "container" || type === "image" ? { status: action, id: actorId } : {}),
      ...(type === "container" && attributes["image"] !== undefined ? { from: attributes["image"] } : {}),
      Type: type,
      Action: action,
      Actor: { ID: actorId, Attributes: sortedKeys(attributes) },
      scope: "local",
      time: Number(this.#lastNs / 1_000_000_000n),
      timeNano: this.#lastNs,
    };
    this.#ring.push(event);
    if (this.#ring.length > ringSize) this.#ring.shift();
    for (const listener of this.#listeners) {
      listener.queue.push(event);
      if (listener.queue.length > queueLimit) {
        listener.queue.shift();
        if (listener.lost++ === 0) this.#lost();
      }
      listener.wake?.();
    }
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }

  /**
   * Past events since `since`, then live ones until `until` or abort. The listener is registered by this call, not by the first
   * read, so that nothing published in between is missed.
   * @throws invalid-argument for an unknown filter
   */
  subscribe(query: EventQuery, signal: AbortSignal): AsyncIterable<EventMessage> {
    const matches = compileEventFilter(query.filters);
    const inRange = (event: EventMessage): boolean =>
      (query.since === undefined || BigInt(event.timeNano) >= query.since) &&
      (query.until === undefined || BigInt(event.timeNano) <= query.until) &&
      matches(event);
    const listener: Listener = {
      queue: query.since === undefined ? [] : this.#ring.filter(inRange),
      lost: 0,
      wake: undefined,
    };
    this.#listeners.add(listener);
    const stop = (): void => {
      this.#listeners.delete(listener);
      listener.wake?.();
    };
    signal.addEventListener("abort", stop, { once: true });
    return this.#read(listener, query.until, inRange, signal, stop);
  }

  async *#read(
    listener: Listener,
    until: bigint | undefined,
    inRange: (event: EventMessage) => boolean,
    signal: AbortSignal,
    stop: () => void,
  ): AsyncGenerator<EventMessage> {
    try {
      while (!signal.aborted) {
        for (let event = listener.queue.shift(); event !== undefined; event = listener.queue.shift()) {
          if (inRange(event)) yield event;
          if (signal.aborted) return;
        }
        const leftMs = until === undefined ? undefined : Number((until - this.#clock.nowNs()) / 1_000_000n);
        if (leftMs !== undefined && leftMs < 0) return;
        await new Promise<void>((resolve) => {
          const timer = leftMs === undefined ? undefined : setTimeout(resolve, Math.min(leftMs + 1, longestLookMs));
          listener.wake = () => {
            if (timer !== undefined) clearTimeout(timer);
            resolve();
          };
          if (listener.queue.length > 0 || signal.aborted) listener.wake();
        });
        listener.wake = undefined;
      }
    } finally {
      stop();
      signal.removeEventListener("abort", stop);
    }
  }
}
