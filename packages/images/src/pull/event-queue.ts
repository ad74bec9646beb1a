/** Events of a pull, queued for their reader. */
import type { PullEvent } from "../contract.ts";

/**
 * Turns callbacks into an async iterable. An unread event of a layer's download is replaced by the next one, so a slow reader costs no memory.
 * `end` or `fail` finishes it when everything is read.
 */
export class EventQueue implements AsyncIterable<PullEvent> {
  readonly #waiting: PullEvent[] = [];
  #wake: (() => void) | undefined;
  #end: { readonly error: unknown } | undefined;

  push(event: PullEvent): void {
    const last =
      event.kind === "layer" && event.phase === "downloading"
        ? this.#waiting.findLastIndex((other) => other.kind === "layer" && other.layer === event.layer)
        : -1;
    const before = this.#waiting[last];
    if (before?.kind === "layer" && before.phase === "downloading") this.#waiting[last] = event;
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

  async *[Symbol.asyncIterator](): AsyncGenerator<PullEvent, void, undefined> {
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
