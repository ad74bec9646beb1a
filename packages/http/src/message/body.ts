/** A request's body, read as it comes: what is not asked for stays in the socket, so that a client is slowed down by its reader. */
import { EngineError } from "@fathom/base";
import { ByteBudget } from "./byte-budget.ts";
import { ChunkedDecoder } from "./chunked.ts";
import { BadRequestError, type BodyFraming } from "./head.ts";

/** Bytes that came and are not read yet. */
export interface ByteSource {
  /** At least one byte, which is the caller's from then on; undefined at the end of the connection. */
  read(): Promise<Buffer | undefined>;
  /** Gives back what was read too much. */
  unread(rest: Buffer): void;
  /** Lets the read that waits, or the next one, fail. */
  interrupt(reason: Error): void;
}

/** What bodies that are read as a whole may take. */
export interface BodyLimits {
  /** Of all connections together. */
  readonly budget: ByteBudget;
  /** From the first read to the last. */
  readonly timeoutMs: number;
}

/** A small body needs no room of the budget: it never waits for large ones. */
const freeBytes = 16 * 1024;

export class RequestBody implements AsyncIterable<Uint8Array> {
  readonly framing: BodyFraming["kind"];
  readonly #source: ByteSource;
  readonly #limits: BodyLimits;
  readonly #chunks: ChunkedDecoder | undefined;
  /** Bytes left of a body whose length was said. */
  #left: number;
  #ended: boolean;
  #held = 0;
  /** Called before the first byte is read: the client may wait for "100 Continue". */
  #onFirstRead: (() => void) | undefined;

  constructor(
    framing: BodyFraming,
    source: ByteSource,
    limits: BodyLimits,
    onFirstRead: (() => void) | undefined = undefined,
  ) {
    this.framing = framing.kind;
    this.#source = source;
    this.#limits = limits;
    this.#chunks = framing.kind === "chunked" ? new ChunkedDecoder() : undefined;
    this.#left = framing.kind === "length" ? framing.bytes : 0;
    this.#ended = framing.kind === "none";
    this.#onFirstRead = onFirstRead;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The next bytes; undefined at the end. @throws aborted when the connection ends before the body does */
  async read(): Promise<Buffer | undefined> {
    this.#beginReading();
    while (!this.#ended) {
      const bytes = await this.#more();
      const data = this.#chunks === undefined ? this.#sized(bytes) : this.#decoded(bytes, this.#chunks);
      if (data.length > 0) return data;
    }
    return undefined;
  }

  #beginReading(): void {
    if (this.#ended) return;
    this.#onFirstRead?.();
    this.#onFirstRead = undefined;
  }

  #sized(bytes: Buffer): Buffer {
    const data = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes;
    if (data.length < bytes.length) this.#source.unread(bytes.subarray(data.length));
    this.#left -= data.length;
    this.#ended = this.#left === 0;
    return data;
  }

  #decoded(bytes: Buffer, chunks: ChunkedDecoder): Buffer {
    const { data, rest } = chunks.push(bytes);
    this.#ended = chunks.ended;
    if (rest.length > 0) this.#source.unread(rest);
    return data;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const bytes = await this.read();
      if (bytes === undefined) return;
      yield bytes;
    }
  }

  /**
   * All of it as text. A large one waits for room among those of other connections, and keeps it until `release`.
   * @throws invalid-argument when it is larger than `limit` bytes; unavailable when there is no room in time; BadRequestError 408
   */
  async text(limit: number): Promise<string> {
    if (this.#left > limit) throw tooLarge(limit);
    const patience = new AbortController();
    const timer = setTimeout(() => {
      patience.abort();
      this.#source.interrupt(new BadRequestError(408, "the request body did not come in time"));
    }, this.#limits.timeoutMs);
    try {
      let text: Buffer = Buffer.allocUnsafe(0);
      let size = 0;
      if (this.#left > 0) text = await this.#room(this.#left, patience.signal);
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

  /** What was made of the body is not used any more. */
  release(): void {
    if (this.#held > 0) this.#limits.budget.give(this.#held);
    this.#held = 0;
  }

  /** Reads what the handler left, up to `limit`; false when there is more: the connection cannot be used again. */
  async skip(limit: number): Promise<boolean> {
    // A client that waits for "100 Continue" has sent nothing, and may or may not do so now.
    if (!this.#ended && this.#onFirstRead !== undefined) return false;
    if (this.#left > limit) return false;
    for (let size = 0; size <= limit;) {
      const bytes = await this.read();
      if (bytes === undefined) return true;
      size += bytes.length;
    }
    return false;
  }

  async #more(): Promise<Buffer> {
    const bytes = await this.#source.read();
    if (bytes === undefined) throw new EngineError("aborted", "the client ended the connection within a request body");
    return bytes;
  }
}

function tooLarge(limit: number): EngineError {
  return new EngineError("invalid-argument", `the request body is larger than the limit of ${limit} bytes`);
}
