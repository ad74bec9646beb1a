/** Progress messages as the docker CLI reads them, and how often they are sent. */
import type { ProgressMessage } from "@fathom/spec";

const sizeUnits = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Bytes with four significant digits, in powers of 1000, as go-units prints them: "3.717MB". */
export function humanSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < sizeUnits.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(4))}${sizeUnits[unit]}`;
}

/** The bar that clients print which do not draw one themselves. */
export function progressBar(current: number, total: number): string {
  const filled = Math.min(50, Math.floor((current / total) * 50));
  const bar = "=".repeat(filled) + (filled < 50 ? `>${" ".repeat(49 - filled)}` : ">");
  return `[${bar.slice(0, 51)}]  ${humanSize(current)}/${humanSize(total)}`;
}

/** A status line of one layer with how far it is, in bytes. */
export function barMessage(id: string, status: string, current: number, total: number): ProgressMessage {
  return { status, progressDetail: { current, total }, progress: progressBar(current, total), id };
}

/** A status line of one layer. */
export function layerMessage(id: string, status: string): ProgressMessage {
  return { status, progressDetail: {}, id };
}

/** The 12 digits by which a layer is shown. */
export function shownDigest(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1).slice(0, 12);
}

/** Tells which of many steps are worth a message: one in `intervalMs`. */
export class Throttle {
  readonly #intervalMs: number;
  readonly #nowMs: () => number;
  #lastMs = Number.NEGATIVE_INFINITY;
  constructor(intervalMs: number, nowMs: () => number) {
    this.#intervalMs = intervalMs;
    this.#nowMs = nowMs;
  }
  due(): boolean {
    const now = this.#nowMs();
    if (now - this.#lastMs < this.#intervalMs) return false;
    this.#lastMs = now;
    return true;
  }
}

/**
 * Turns callbacks into an async iterable. Unread messages of one layer's bar replace each other, so a slow client costs no memory.
 * `end` or `fail` finish it once everything is read.
 */
export class MessageQueue implements AsyncIterable<ProgressMessage> {
  readonly #waiting: ProgressMessage[] = [];
  #wake: (() => void) | undefined;
  #end: { readonly error: unknown } | undefined;

  push(message: ProgressMessage): void {
    const last = this.#waiting.findLastIndex((other) => other.id !== undefined && other.id === message.id);
    if (last !== -1 && isBar(message) && isBar(this.#waiting[last]!) && this.#waiting[last]!.status === message.status)
      this.#waiting[last] = message;
    else this.#waiting.push(message);
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

  async *[Symbol.asyncIterator](): AsyncGenerator<ProgressMessage, void, undefined> {
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

function isBar(message: ProgressMessage): boolean {
  return message.progressDetail?.current !== undefined;
}
