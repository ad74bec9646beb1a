/**
 * Events in their order: past ones in files (`event-file.ts`), and live listeners. Publishing never waits. A listener that does not read in time
 * loses the oldest events of its queue. A queue also has a limit in bytes: an event carries all labels of its object, and an image may have a
 * hundred thousand.
 */
import type { EventQuery } from "../backend.ts";
import { sortedKeys, type Clock } from "@fathom/base";
import type { EventMessage } from "@fathom/spec";
import type { EventPublisher, EventType } from "@fathom/containers";
import { compileEventFilter } from "./event-filter.ts";
import type { EventFile } from "./event-file.ts";

/** A time this much before that of the last event means that somebody set the clock back. */
const setBackNs = 1_000_000_000n;
/** How often a listener with an end time checks the clock, because somebody may set it. */
const longestLookMs = 10_000;
/** Events that wait for one slow listener. */
const queueLimit = 16_384;
/** For the events in one listener's queue, in bytes of `sizeOf`. */
const sizeLimit = 16 << 20;
/** About the memory of an attribute besides its text. */
const attributeBytes = 64;

interface Sized {
  readonly event: EventMessage;
  readonly size: number;
}

/** The newest events, up to a number and a size. */
class Newest {
  readonly #limit: number;
  readonly #kept: Sized[] = [];
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get all(): readonly Sized[] {
    return this.#kept;
  }

  /** True when an older event was dropped for it. */
  push(entry: Sized): boolean {
    this.#kept.push(entry);
    this.#size += entry.size;
    let lost = false;
    while (this.#kept.length > 1 && (this.#kept.length > this.#limit || this.#size > sizeLimit)) {
      this.shift();
      lost = true;
    }
    return lost;
  }

  shift(): EventMessage | undefined {
    const first = this.#kept.shift();
    this.#size -= first?.size ?? 0;
    return first?.event;
  }
}

function sizeOf({ Actor }: EventMessage): number {
  let size = 0;
  for (const [key, value] of Object.entries(Actor.Attributes ?? {})) size += key.length + value.length + attributeBytes;
  return size;
}

interface Listener {
  readonly queue: Newest;
  lost: number;
  wake: (() => void) | undefined;
}

export class Events implements EventPublisher {
  readonly #clock: Clock;
  readonly #past: Pick<EventFile, "append" | "read">;
  readonly #listeners = new Set<Listener>();
  #lastNs = 0n;
  readonly #lost: () => void;

  /** @param lost Called when a listener begins to lose events, because it does not read them. */
  constructor(clock: Clock, past: Pick<EventFile, "append" | "read">, lost: () => void = () => undefined) {
    this.#clock = clock;
    this.#past = past;
    this.#lost = lost;
  }

  publish(type: EventType, action: string, actorId: string, attributes: Readonly<Record<string, string>>): void {
    // Two events never share a time: `--since` with the time of one must not return another event again.
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
    const entry = { event, size: sizeOf(event) };
    this.#past.append(event);
    for (const listener of this.#listeners) {
      if (listener.queue.push(entry) && listener.lost++ === 0) this.#lost();
      listener.wake?.();
    }
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }

  /**
   * Past events since `since`, then live events until `until` or abort. This call registers the listener, not the first read, so that nothing
   * published in between is missed.
   * @throws invalid-argument for an unknown filter
   */
  subscribe(query: EventQuery, signal: AbortSignal): AsyncIterable<EventMessage> {
    const matches = compileEventFilter(query.filters);
    const inRange = (event: EventMessage): boolean =>
      (query.since === undefined || BigInt(event.timeNano) >= query.since) &&
      (query.until === undefined || BigInt(event.timeNano) <= query.until) &&
      matches(event);
    const listener: Listener = { queue: new Newest(queueLimit), lost: 0, wake: undefined };
    this.#listeners.add(listener);
    const stop = (): void => {
      this.#listeners.delete(listener);
      listener.wake?.();
    };
    signal.addEventListener("abort", stop, { once: true });
    return this.#read(listener, query, inRange, signal, stop);
  }

  async *#read(
    listener: Listener,
    { since, until }: EventQuery,
    inRange: (event: EventMessage) => boolean,
    signal: AbortSignal,
    stop: () => void,
  ): AsyncGenerator<EventMessage> {
    try {
      if (since !== undefined) {
        // What waits in the queue now is also in the files.
        const before = listener.queue.all[0]?.event.timeNano;
        for await (const event of this.#past.read({ since, until, before })) {
          if (signal.aborted) return;
          if (inRange(event)) yield event;
        }
      }
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
          if (listener.queue.all.length > 0 || signal.aborted) listener.wake();
        });
        listener.wake = undefined;
      }
    } finally {
      stop();
      signal.removeEventListener("abort", stop);
    }
  }
}
