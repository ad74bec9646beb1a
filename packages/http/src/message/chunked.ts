/** A chunked body (RFC 9112 section 7.1), decoded piece by piece in place: each byte costs the same, for chunks of any size. */
import { addField } from "./head.ts";
import { HttpError } from "./http-error.ts";

/** A chunk's size line, with its extensions, or a trailer section. */
const lineLimit = 8 * 1024;
const sizeLine = /^([\da-fA-F]{1,8})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/;
const lineFeed = 10;

function malformed(): HttpError {
  return new HttpError(400, "malformed chunked body");
}

export interface Decoded {
  /** May be empty. A part of the pushed bytes, which belong to the decoder from then on. */
  readonly data: Buffer;
  /** Bytes that arrived after the body's end. */
  readonly rest: Buffer;
}

export class ChunkedDecoder {
  #expects: "size" | "data" | "end of data" | "trailer" = "size";
  /** Bytes left of the present chunk. */
  #left = 0;
  /** The beginning of a line that is not complete yet. */
  #line = "";
  #trailerBytes = 0;
  #ended = false;

  get ended(): boolean {
    return this.#ended;
  }

  /** @throws HttpError */
  push(bytes: Buffer): Decoded {
    let at = 0;
    let filled = 0;
    while (at < bytes.length && !this.#ended) {
      if (this.#expects === "data") {
        const end = Math.min(at + this.#left, bytes.length);
        if (filled !== at) bytes.copyWithin(filled, at, end);
        filled += end - at;
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#expects = "end of data";
        continue;
      }
      if (this.#line === "" && this.#expects === "end of data" && bytes[at] === 13 && bytes[at + 1] === lineFeed) {
        this.#expects = "size";
        at += 2;
        continue;
      }
      // The usual size of a small chunk, parsed without making a text of it.
      if (this.#line === "" && this.#expects === "size" && bytes[at + 1] === 13 && bytes[at + 2] === lineFeed) {
        const digit = bytes[at]! - 48;
        if (digit >= 1 && digit <= 9) {
          this.#left = digit;
          this.#expects = "data";
          at += 3;
          continue;
        }
      }
      const end = bytes.indexOf(lineFeed, at);
      this.#line += bytes.toString("latin1", at, end < 0 ? bytes.length : Math.min(end, at + lineLimit + 2));
      if (this.#line.length > lineLimit + 1) throw malformed();
      if (end < 0) {
        at = bytes.length;
        break;
      }
      if (!this.#line.endsWith("\r")) throw malformed();
      const line = this.#line.slice(0, -1);
      this.#line = "";
      at = end + 1;
      this.#take(line);
    }
    return { data: bytes.subarray(0, filled), rest: bytes.subarray(at) };
  }

  #take(line: string): void {
    if (this.#expects === "end of data") {
      if (line !== "") throw malformed();
      this.#expects = "size";
    } else if (this.#expects === "size") {
      const size = sizeLine.exec(line)?.[1];
      if (size === undefined) throw malformed();
      this.#left = Number.parseInt(size, 16);
      this.#expects = this.#left === 0 ? "trailer" : "data";
    } else if (line === "") this.#ended = true;
    else {
      this.#trailerBytes += line.length;
      if (this.#trailerBytes > lineLimit) throw new HttpError(431, "trailers of a chunked body are too large");
      // They are checked, but nobody reads them: fields after a body must not change the meaning of its head.
      addField(new Map(), line);
    }
  }
}
