/** A request's body, read as it comes: what is not asked for stays in the socket, so that a client is slowed down by its reader. */
import { EngineError } from "@fathom/base";
import { BadRequestError, type BodyFraming } from "./head.ts";

/** Bytes that came and are not read yet. */
export interface ByteSource {
  /** At least one byte; undefined at the end of the connection. */
  read(): Promise<Buffer | undefined>;
  /** Gives back what was read too much. */
  unread(rest: Buffer): void;
}

/** A chunk's size line, with its extensions, or a trailer section. */
const lineLimit = 8 * 1024;

export class RequestBody implements AsyncIterable<Uint8Array> {
  readonly framing: BodyFraming["kind"];
  readonly #source: ByteSource;
  /** Bytes left of the body or of the present chunk. */
  #left: number;
  #ended: boolean;
  /** Called before the first byte is read: the client may wait for "100 Continue". */
  #onFirstRead: (() => void) | undefined;

  constructor(framing: BodyFraming, source: ByteSource, onFirstRead: (() => void) | undefined) {
    this.framing = framing.kind;
    this.#source = source;
    this.#left = framing.kind === "length" ? framing.bytes : 0;
    this.#ended = framing.kind === "none";
    this.#onFirstRead = onFirstRead;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The next bytes; undefined at the end. @throws aborted when the connection ends before the body does */
  async read(): Promise<Buffer | undefined> {
    if (this.#ended) return undefined;
    this.#onFirstRead?.();
    this.#onFirstRead = undefined;
    if (this.framing === "chunked" && this.#left === 0) {
      this.#left = await this.#chunkSize();
      if (this.#left === 0) {
        await this.#trailers();
        this.#ended = true;
        return undefined;
      }
    }
    const bytes = await this.#more();
    const taken = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes;
    if (taken.length < bytes.length) this.#source.unread(bytes.subarray(taken.length));
    this.#left -= taken.length;
    if (this.#left === 0) {
      if (this.framing === "chunked") await this.#emptyLine();
      else this.#ended = true;
    }
    return taken;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const bytes = await this.read();
      if (bytes === undefined) return;
      yield bytes;
    }
  }

  /** All of it as text. @throws invalid-argument when it is larger than `limit` bytes */
  async text(limit: number): Promise<string> {
    const chunks: Buffer[] = [];
    let size = 0;
    for (;;) {
      const bytes = await this.read();
      if (bytes === undefined) break;
      size += bytes.length;
      if (size > limit)
        throw new EngineError("invalid-argument", `the request body is larger than the limit of ${limit} bytes`);
      chunks.push(bytes);
    }
    return (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).toString("utf8");
  }

  /** Reads what the handler left, up to `limit`; false when there is more: the connection cannot be used again. */
  async skip(limit: number): Promise<boolean> {
    // A client that waits for "100 Continue" has sent nothing, and may or may not do so now.
    if (!this.#ended && this.#onFirstRead !== undefined) return false;
    if (this.framing === "length" && this.#left > limit) return false;
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

  async #line(): Promise<string> {
    let line: Buffer = Buffer.alloc(0);
    for (;;) {
      const bytes = await this.#more();
      line = line.length === 0 ? bytes : Buffer.concat([line, bytes]);
      const end = line.indexOf("\r\n");
      if (end > lineLimit || (end < 0 && line.length > lineLimit))
        throw new BadRequestError(400, "malformed chunked body");
      if (end < 0) continue;
      if (end + 2 < line.length) this.#source.unread(line.subarray(end + 2));
      return line.toString("latin1", 0, end);
    }
  }

  async #chunkSize(): Promise<number> {
    const match = /^([\da-fA-F]{1,8})[ \t]*(?:;.*)?$/.exec(await this.#line());
    if (match === null) throw new BadRequestError(400, "malformed chunked body");
    return Number.parseInt(match[1] ?? "", 16);
  }

  async #emptyLine(): Promise<void> {
    if ((await this.#line()) !== "") throw new BadRequestError(400, "malformed chunked body");
  }

  async #trailers(): Promise<void> {
    for (let size = 0; ;) {
      const line = await this.#line();
      if (line === "") return;
      size += line.length;
      if (size > lineLimit) throw new BadRequestError(431, "trailers of a chunked body are too large");
    }
  }
}
