/** A request's body for a handler: in pieces as it arrives, or whole, with limits on size, time and memory. */
import { EngineError } from "@fathom/base";
import { MessageBody, type ByteSource } from "../message/body.ts";
import type { BodyFraming } from "../message/framing.ts";
import { HttpError } from "../message/http-error.ts";
import type { ByteBudget } from "./byte-budget.ts";

/** The limits for bodies that are read whole. */
export interface BodyLimits {
  /** For all connections together. */
  readonly budget: ByteBudget;
  /** From the first read to the last. */
  readonly timeoutMs: number;
}

/** A small body needs no room of the budget, so it never waits for large ones. */
const freeBytes = 16 * 1024;

export class RequestBody extends MessageBody {
  readonly #source: ByteSource;
  readonly #limits: BodyLimits;
  #held = 0;
  /** Called before the first byte is read: the client may wait for "100 Continue". */
  #onFirstRead: (() => void) | undefined;

  constructor(
    framing: BodyFraming,
    source: ByteSource,
    limits: BodyLimits,
    onFirstRead: (() => void) | undefined = undefined,
  ) {
    super(framing, source, cut);
    this.#source = source;
    this.#limits = limits;
    this.#onFirstRead = onFirstRead;
  }

  /** The next bytes; undefined at the end. @throws HttpError; aborted when the connection ends before the body does */
  override read(): Promise<Buffer | undefined> {
    if (!this.ended) this.#onFirstRead?.();
    this.#onFirstRead = undefined;
    return super.read();
  }

  /**
   * The whole body as text. A large one waits for room among those of other connections, and keeps it until `release`.
   * @throws invalid-argument when it is larger than `limit` bytes; unavailable when there is no room in time; HttpError 408
   */
  async text(limit: number): Promise<string> {
    if (this.left > limit) throw tooLarge(limit);
    const patience = new AbortController();
    const timer = setTimeout(() => {
      patience.abort();
      this.#source.interrupt(new HttpError(408, "the request body did not come in time"));
    }, this.#limits.timeoutMs);
    try {
      let text: Buffer = Buffer.allocUnsafe(0);
      let size = 0;
      if (this.left > 0) text = await this.#room(this.left, patience.signal);
      for (let bytes = await this.read(); bytes !== undefined; bytes = await this.read()) {
        if (size + bytes.length > limit) throw tooLarge(limit);
        if (size + bytes.length > text.length) {
          const larger = await this.#room(Math.max(2 * text.length, size + bytes.length, freeBytes), patience.signal);
          text.copy(larger, 0, 0, size);
          text = larger;
        }
        bytes.copy(text, size);
        size += bytes.length;
      }
      return text.toString("utf8", 0, size);
    } finally {
      clearTimeout(timer);
    }
  }

  async #room(bytes: number, signal: AbortSignal): Promise<Buffer> {
    const more = bytes - freeBytes - this.#held;
    if (more > 0) {
      await this.#limits.budget.take(more, signal);
      this.#held += more;
    }
    return Buffer.allocUnsafe(bytes);
  }

  /** Call it when the data made of the body is no longer used. */
  release(): void {
    if (this.#held > 0) this.#limits.budget.give(this.#held);
    this.#held = 0;
  }

  /** Reads what the handler did not read, up to `limit`; false when there is more: then the connection cannot be used again. */
  async skip(limit: number): Promise<boolean> {
    // A client that waits for "100 Continue" has sent nothing, and may or may not send now.
    if (!this.ended && this.#onFirstRead !== undefined) return false;
    if (this.left > limit) return false;
    for (let size = 0; size <= limit;) {
      const bytes = await this.read();
      if (bytes === undefined) return true;
      size += bytes.length;
    }
    return false;
  }
}

function cut(): EngineError {
  return new EngineError("aborted", "the client ended the connection within a request body");
}

function tooLarge(limit: number): EngineError {
  return new EngineError("invalid-argument", `the request body is larger than the limit of ${limit} bytes`);
}
