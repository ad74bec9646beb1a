/**
 * Parses heads in a stream of bytes, for both directions. Lines are taken and checked as they arrive. So the result does not depend on how the
 * bytes are split, and bytes that are not HTTP are rejected at their first wrong line.
 */
import { requestFraming, responseFraming, type BodyFraming } from "./framing.ts";
import { addField, checkHost, parseRequestLine, parseStatusLine, type RequestHead, type ResponseHead } from "./head.ts";
import { HttpError } from "./http-error.ts";
import type { InputBuffer } from "./input-buffer.ts";

/** Bytes of a request's head, with its line ends. A query may be long (the docker CLI puts filters and labels in it). */
const requestHeadLimit = 1 << 20;
/** Bytes of an answer's head. */
const responseHeadLimit = 64 * 1024;
const fieldLimit = 256;

const lineFeed = 10;
const carriageReturn = 13;

/** The first line of a head, and its fields. */
interface Lines<Start> {
  readonly start: Start;
  readonly headers: Map<string, string>;
}

class HeadParser<Start> {
  readonly #startName: string;
  readonly #parseStart: (line: string) => Start;
  readonly #limit: number;
  #lines: Lines<Start> | undefined;
  #fields = 0;
  /** Bytes of the lines that were taken. */
  #taken = 0;
  /** How many bytes at the beginning of the input have no line end. */
  #searched = 0;

  constructor(startName: string, parseStart: (line: string) => Start, limit: number) {
    this.#startName = startName;
    this.#parseStart = parseStart;
    this.#limit = limit;
  }

  /** The first line has arrived. */
  get begun(): boolean {
    return this.#lines !== undefined;
  }

  /** Takes whole lines; undefined when the head's end has not arrived. Bytes after the head stay in the input. @throws HttpError */
  next(input: InputBuffer): Lines<Start> | undefined {
    for (;;) {
      const block = this.#block(input);
      if (block === undefined) return undefined;
      let from = 0;
      while (from < block.length) {
        const end = block.indexOf("\n", from) + 1;
        const lines = this.#line(block.slice(from, end));
        from = end;
        if (lines === undefined) continue;
        input.consume(from);
        return lines;
      }
      input.consume(from);
    }
  }

  /** Lines that have arrived, at most up to the end of the head, as one text: a head that arrives whole is converted to text only once. */
  #block(input: InputBuffer): string | undefined {
    const { bytes } = input;
    const firstEnd = bytes.indexOf(lineFeed, this.#searched) + 1;
    if (firstEnd === 0) {
      if (this.#taken + bytes.length > this.#limit) throw this.#tooLarge(bytes);
      const alone = bytes.indexOf(carriageReturn, Math.max(0, this.#searched - 1));
      if (alone >= 0 && alone < bytes.length - 1) throw this.#malformed();
      this.#searched = bytes.length;
      return undefined;
    }
    const lastEnd = bytes.indexOf("\r\n\r\n", Math.max(0, firstEnd - 2), "latin1") + 4;
    const length = lastEnd < 4 ? bytes.lastIndexOf(lineFeed) + 1 : lastEnd;
    this.#searched = 0;
    if (this.#taken + length <= this.#limit) return bytes.toString("latin1", 0, length);
    // More than a head may have: rejected, at the first line that is wrong or goes beyond the limit.
    if (this.#taken + firstEnd <= this.#limit) return bytes.toString("latin1", 0, firstEnd);
    throw this.#tooLarge(bytes);
  }

  /** For a line that ends after the limit, or has not ended before it. A CR alone before the limit is rejected as that, however the bytes are split. */
  #tooLarge(bytes: Buffer): HttpError {
    const alone = bytes.indexOf(carriageReturn) + 1;
    const within = alone > 0 && alone < Math.min(this.#limit - this.#taken, bytes.length);
    if (within && bytes[alone] !== lineFeed) return this.#malformed();
    return new HttpError(431, `the ${this.#startName === "status line" ? "answer's" : "request"} head is too large`);
  }

  #malformed(): HttpError {
    return new HttpError(400, `malformed HTTP ${this.begun ? "header field" : this.#startName}`);
  }

  /** One line with its end; returns the head when it was the last. */
  #line(text: string): Lines<Start> | undefined {
    if (text.charCodeAt(text.length - 2) !== carriageReturn) throw this.#malformed();
    const line = text.slice(0, -2);
    if (this.#lines === undefined) {
      // Empty lines before a message must be ignored (RFC 9112 section 2.2), and they do not count.
      if (line === "") return undefined;
      this.#taken = text.length;
      this.#lines = { start: this.#parseStart(line), headers: new Map() };
      return undefined;
    }
    this.#taken += text.length;
    if (line !== "") {
      if (++this.#fields > fieldLimit && !line.includes("\r"))
        throw new HttpError(431, `more than ${fieldLimit} header fields`);
      addField(this.#lines.headers, line);
      return undefined;
    }
    const lines = this.#lines;
    this.#lines = undefined;
    this.#fields = 0;
    this.#taken = 0;
    return lines;
  }
}

export interface ParsedRequest {
  readonly head: RequestHead;
  readonly framing: BodyFraming;
}

export interface ParsedResponse {
  readonly head: ResponseHead;
  readonly framing: BodyFraming;
}

/** For one connection: requests one after another. */
export class RequestParser {
  readonly #heads = new HeadParser("request line", parseRequestLine, requestHeadLimit);

  /** A part of a head was taken. */
  get begun(): boolean {
    return this.#heads.begun;
  }

  /** The next request; undefined when its head is not complete yet. Its body follows in the input. @throws HttpError */
  next(input: InputBuffer): ParsedRequest | undefined {
    const lines = this.#heads.next(input);
    if (lines === undefined) return undefined;
    const { method, target, authority, minor } = lines.start;
    checkHost(lines.start, lines.headers);
    if (authority !== undefined) lines.headers.set("host", authority);
    const head = { method, target, minor, headers: lines.headers };
    return { head, framing: requestFraming(head) };
  }
}

/** For one connection: answers one after another. */
export class ResponseParser {
  readonly #heads = new HeadParser("status line", parseStatusLine, responseHeadLimit);

  /**
   * The answer to a request with this method; undefined when its head is not complete yet. "100 Continue" and similar answers, which come
   * before the final answer, are left out. @throws HttpError
   */
  next(input: InputBuffer, method: string): ParsedResponse | undefined {
    for (;;) {
      const lines = this.#heads.next(input);
      if (lines === undefined) return undefined;
      const { status, minor } = lines.start;
      if (status < 200 && status !== 101) continue;
      const head = { status, minor, headers: lines.headers };
      return { head, framing: responseFraming(head, method) };
    }
  }
}
