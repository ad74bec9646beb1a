/** Events of a pull or a push, queued for their reader. */

/** The layer that an event is about; undefined for an event about something else. */
export interface LayerOfEvent {
  readonly layer: string;
  /** Says how many bytes have been moved: only the latest one counts. */
  readonly isProgress: boolean;
}

/**
 * Turns callbacks into an async iterable. Unread progress of a layer is replaced by the layer's next progress, so a slow reader costs no memory.
 * `end` or `fail` finishes it when everything is read.
 */
export class EventQueue<Event> implements AsyncIterable<Event> {
  readonly #layerOf: (event: Event) => LayerOfEvent | undefined;
  readonly #waiting: Event[] = [];
  #wake: (() => void) | undefined;
  #end: { readonly error: unknown } | undefined;

  constructor(layerOf: (event: Event) => LayerOfEvent | undefined) {
    this.#layerOf = layerOf;
  }

  push(event: Event): void {
    const own = this.#layerOf(event);
    const last =
      own?.isProgress === true ? this.#waiting.findLastIndex((other) => this.#layerOf(other)?.layer === own.layer) : -1;
    const before = this.#waiting[last];
    if (before !== undefined && this.#layerOf(before)?.isProgress === true) this.#waiting[last] = event;
    else this.#waiting.push(event);
    this.#wake?.();
  }

  end(): void {
    this.#end ??= { error: undefined };
    this.#wake?.();
  }

  fail(error: unknown): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Event, void, undefined> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) {
        yield next;
        continue;
      }
      if (this.#end !== undefined) {
        if (this.#end.error !== undefined) throw this.#end.error;
        return;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
      this.#wake = undefined;
    }
  }
}
