/** The places where the server listens. While the process has no descriptors, none accepts; afterwards all of them accept again. */
import type { ListenOptions } from "../contract.ts";

/** Accepts connections until it is closed. */
export interface Listener {
  close(): unknown;
}

interface Place {
  /** Made for each new beginning. @throws when no descriptor is left */
  readonly where: () => ListenOptions;
  /** Absent while no connection is accepted. */
  listener: Listener | undefined;
  beginning: boolean;
}

export class Listeners {
  readonly #begin: (where: ListenOptions) => Promise<Listener>;
  readonly #onFailure: (error: unknown) => void;
  readonly #places: Place[] = [];
  #paused = false;
  #closed = false;

  /** @param onFailure A place that was paused cannot accept again yet. */
  constructor(begin: (where: ListenOptions) => Promise<Listener>, onFailure: (error: unknown) => void) {
    this.#begin = begin;
    this.#onFailure = onFailure;
  }

  async add(where: () => ListenOptions): Promise<void> {
    const place: Place = { where, listener: undefined, beginning: false };
    await this.#open(place);
    this.#places.push(place);
  }

  pause(): void {
    this.#paused = true;
    this.#closeAll();
  }

  /** Begins again where nothing accepts. Returns false when that is not finished; it can be called again. */
  resume(): boolean {
    this.#paused = false;
    if (this.#closed) return true;
    const missing = this.#places.filter(({ listener }) => listener === undefined);
    for (const place of missing) if (!place.beginning) this.#open(place).catch(this.#onFailure);
    return missing.length === 0;
  }

  close(): void {
    this.#closed = true;
    this.#closeAll();
  }

  #closeAll(): void {
    for (const place of this.#places) {
      place.listener?.close();
      place.listener = undefined;
    }
  }

  async #open(place: Place): Promise<void> {
    place.beginning = true;
    try {
      const listener = await this.#begin(place.where());
      if (this.#closed || this.#paused) listener.close();
      else place.listener = listener;
    } finally {
      place.beginning = false;
    }
  }
}
