/** A message's body, read in pieces: bytes that are not requested stay in the socket, so that a slow reader slows down the sender. */
import { ChunkedDecoder, type Decoded } from "./chunked.ts";
import type { BodyFraming } from "./framing.ts";

/** Bytes that arrived and are not read yet. */
export interface ByteSource {
  /** At least one byte, which the caller owns from then on; undefined at the end of the connection. */
  read(): Promise<Buffer | undefined>;
  /** Puts back what was read too much. */
  unread(rest: Buffer): void;
  /** Makes the waiting read, or the next one, fail. */
  interrupt(reason: Error): void;
}

export class MessageBody implements AsyncIterable<Buffer> {
  readonly framing: BodyFraming["kind"];
  readonly #source: ByteSource;
  readonly #cut: () => Error;
  readonly #chunks: ChunkedDecoder | undefined;
  #left: number;
  #ended: boolean;
  /** Bytes after a malformed part have no certain meaning: another read gets the same error. */
  #failure: unknown;

  /** @param cut The error when a connection ends before the body does. */
  constructor(framing: BodyFraming, source: ByteSource, cut: () => Error) {
    this.framing = framing.kind;
    this.#source = source;
    this.#cut = cut;
    this.#chunks = framing.kind === "chunked" ? new ChunkedDecoder() : undefined;
    this.#left = framing.kind === "length" ? framing.bytes : 0;
    this.#ended = framing.kind === "none";
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Bytes that must still arrive for a body with a length. */
  get left(): number {
    return this.#left;
  }

  /** The next bytes; undefined at the end. @throws HttpError; the error of `cut` */
  async read(): Promise<Buffer | undefined> {
    if (this.#failure !== undefined) throw this.#failure;
    while (!this.#ended) {
      const bytes = await this.#source.read();
      if (bytes === undefined) {
        if (this.framing !== "until-end") throw this.#cut();
        this.#ended = true;
        return undefined;
      }
      const data = this.#part(bytes);
      if (data.length > 0) return data;
    }
    return undefined;
  }

  #part(bytes: Buffer): Buffer {
    if (this.framing === "until-end") return bytes;
    if (this.#chunks === undefined) return this.#sized(bytes);
    const { data, rest } = this.#decoded(bytes, this.#chunks);
    this.#ended = this.#chunks.ended;
    if (rest.length > 0) this.#source.unread(rest);
    return data;
  }

  #decoded(bytes: Buffer, chunks: ChunkedDecoder): Decoded {
    try {
      return chunks.push(bytes);
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  #sized(bytes: Buffer): Buffer {
    const data = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes;
    if (data.length < bytes.length) this.#source.unread(bytes.subarray(data.length));
    this.#left -= data.length;
    this.#ended = this.#left === 0;
    return data;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      const bytes = await this.read();
      if (bytes === undefined) return;
      yield bytes;
    }
  }
}
