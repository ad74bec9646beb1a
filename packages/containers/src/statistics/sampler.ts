/**
 * Samples containers once a second, each container once however many clients watch it. Nothing is read while nobody watches. A client that reads
 * slowly misses samples; none are kept for it.
 */
import { deferred, type Clock } from "@fathom/base";
import type { Container } from "../container.ts";
import type { HostProcessors, Look, ResourceSample } from "./sample.ts";

interface Listener {
  tell(look: Look | "end"): void;
  fail(error: unknown): void;
}

interface Watch {
  readonly container: Container;
  readonly listeners: Set<Listener>;
  latest: Look;
  /** When `latest` was taken, on the monotonic clock. */
  takenMs: number;
}

const intervalMs = 1000;
/** A sample younger than this is not taken again: two samples close together give no useful rate. */
const youngMs = 500;
/** So many samples are taken in one turn of the thread; each takes about 0.1 ms. */
const samplesPerTurn = 20;

export interface SamplerParts {
  readonly clock: Clock;
  /** False when the container was removed: then its watches end. */
  readonly exists: (container: Container) => boolean;
  readonly hostProcessors: () => HostProcessors;
  readonly look: (container: Container, host: HostProcessors) => Look;
}

export class Sampler {
  readonly #watches = new Map<Container, Watch>();
  readonly #parts: SamplerParts;
  /** Aborts when nobody watches any more; undefined while nothing is sampled. */
  #sampling: AbortController | undefined;

  constructor(parts: SamplerParts) {
    this.#parts = parts;
  }

  /** How many containers are watched. */
  get size(): number {
    return this.#watches.size;
  }

  /** One sample now. */
  look(container: Container): Look {
    return this.#parts.look(container, this.#parts.hostProcessors());
  }

  /**
   * The first sample at once, then one each second, until the container is removed or the signal aborts. It fails when a sample cannot be read
   * (no free descriptors).
   */
  async *watch(container: Container, signal: AbortSignal): AsyncIterable<Look> {
    let next = deferred<Look | "end">();
    const listener: Listener = { tell: (look) => next.resolve(look), fail: (error) => next.reject(error) };
    const leave = (): void => next.resolve("end");
    const watch = this.#join(container, listener);
    signal.addEventListener("abort", leave, { once: true });
    try {
      yield watch.latest;
      while (!signal.aborted) {
        const look = await next.promise;
        if (look === "end") return;
        next = deferred();
        yield look;
      }
    } finally {
      signal.removeEventListener("abort", leave);
      this.#leave(watch, listener);
    }
  }

  #join(container: Container, listener: Listener): Watch {
    const watch = this.#watches.get(container) ?? {
      container,
      listeners: new Set(),
      latest: this.look(container),
      takenMs: this.#parts.clock.monotonicMs(),
    };
    watch.listeners.add(listener);
    this.#watches.set(container, watch);
    if (this.#sampling === undefined) {
      this.#sampling = new AbortController();
      void this.#sample(this.#sampling.signal);
    }
    return watch;
  }

  #leave(watch: Watch, listener: Listener): void {
    watch.listeners.delete(listener);
    if (watch.listeners.size === 0) this.#watches.delete(watch.container);
    if (this.#watches.size > 0) return;
    this.#sampling?.abort();
    this.#sampling = undefined;
  }

  async #sample(ended: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    for (;;) {
      await clock.sleep(intervalMs, ended).catch(() => undefined);
      if (ended.aborted) return;
      try {
        await this.#sampleAll();
      } catch (error) {
        for (const { listeners } of this.#watches.values()) for (const listener of listeners) listener.fail(error);
      }
    }
  }

  async #sampleAll(): Promise<void> {
    const { clock, exists, look, hostProcessors } = this.#parts;
    const host = hostProcessors();
    let taken = 0;
    for (const watch of this.#watches.values()) {
      const nowMs = clock.monotonicMs();
      if (!exists(watch.container)) for (const listener of watch.listeners) listener.tell("end");
      else if (nowMs - watch.takenMs >= youngMs) {
        watch.latest = look(watch.container, host);
        watch.takenMs = nowMs;
        for (const listener of watch.listeners) listener.tell(watch.latest);
        if (++taken % samplesPerTurn === 0) await clock.sleep(0);
      }
    }
  }
}

/** Two samples with a second between them, so that rates can be computed. undefined when the container does not run. */
export async function twoSamples(
  sampler: Sampler,
  clock: Clock,
  container: Container,
  signal: AbortSignal,
): Promise<readonly [ResourceSample, ResourceSample] | undefined> {
  const first = sampler.look(container);
  if (first === undefined) return undefined;
  await clock.sleep(intervalMs, signal);
  const second = sampler.look(container);
  return second === undefined ? undefined : [first, second];
}
