/** The containers that `stats` shows, each with its newest sample. */
import type { Client } from "@fathom/client";
import type { Sample } from "./figures.ts";

/** A container whose daemon is silent for this long has no figures. */
const silentMs = 2_000;
/** One sample takes the daemon a second or two, and longer on a busy machine. */
const singleMs = 10_000;

interface Entry {
  sample: Sample | undefined;
  error: unknown;
  heardAt: number;
  readonly first: Promise<void>;
  readonly stop: AbortController;
}

export interface Row {
  readonly container: string;
  readonly sample: Sample | undefined;
  readonly error: unknown;
}

export class WatchedContainers {
  readonly #client: Client;
  readonly #stream: boolean;
  readonly #entries = new Map<string, Entry>();

  /** @param stream false: one sample of each */
  constructor(client: Client, stream: boolean) {
    this.#client = client;
    this.#stream = stream;
  }

  add(container: string): void {
    if (this.#entries.has(container)) return;
    const first = Promise.withResolvers<void>();
    const stop = new AbortController();
    const entry: Entry = {
      sample: undefined,
      error: undefined,
      heardAt: performance.now(),
      first: first.promise,
      stop,
    };
    this.#entries.set(container, entry);
    const timer = setTimeout(first.resolve, this.#stream ? silentMs : singleMs);
    void this.#collect(container, entry, first.resolve).finally(() => {
      clearTimeout(timer);
      first.resolve();
    });
  }

  async #collect(container: string, entry: Entry, heard: () => void): Promise<void> {
    try {
      const samples = this.#client.messages<Sample>("GET", `/containers/${encodeURIComponent(container)}/stats`, {
        query: { stream: this.#stream },
        signal: entry.stop.signal,
      });
      for await (const sample of samples) {
        entry.sample = sample;
        entry.heardAt = performance.now();
        heard();
      }
    } catch (error) {
      entry.error = error;
    }
    // The stream of a container ends with it.
    if (this.#stream) entry.sample = undefined;
  }

  remove(container: string): void {
    this.#entries.get(container)?.stop.abort();
    this.#entries.delete(container);
  }

  /** Each has its first sample, an error, or has been silent for too long. */
  async ready(): Promise<void> {
    await Promise.all([...this.#entries.values()].map(({ first }) => first));
  }

  rows(): readonly Row[] {
    const now = performance.now();
    return [...this.#entries].map(([container, { sample, error, heardAt }]) => ({
      container,
      sample: this.#stream && now - heardAt > silentMs ? undefined : sample,
      error,
    }));
  }
}
