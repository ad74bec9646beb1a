/** How much `cp` has copied: shown on a terminal while it works, and said at the end. */
import { humanSize } from "@fathom/spec";
import type { Output } from "../../grammar/command.ts";

/** No terminal needs more changes in a second. */
const everyMs = 75;

export class CopyCounter {
  readonly #out: Output;
  readonly #title: string;
  readonly #quiet: boolean;
  #bytes = 0;
  #shownAt = 0;

  constructor(out: Output, title: string, quiet: boolean) {
    this.#out = out;
    this.#title = title;
    this.#quiet = quiet;
  }

  /** The same bytes, counted. */
  async *count(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes) {
      yield chunk;
      this.#bytes += chunk.length;
      this.#show();
    }
  }

  #show(): void {
    const now = performance.now();
    if (this.#quiet || !this.#out.isTerminal || now - this.#shownAt < everyMs) return;
    this.#shownAt = now;
    this.#out.write(`\r\x1b[2K${this.#title}${humanSize(this.#bytes, 3)}`);
  }

  /** The last words: where the copy is now. */
  done(place: string): void {
    if (this.#quiet) return;
    if (this.#shownAt > 0) this.#out.write("\r\x1b[2K");
    this.#out.write(`Successfully copied ${humanSize(this.#bytes, 3)} to ${place}\n`);
  }
}
