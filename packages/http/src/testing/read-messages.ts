/** Reads all messages in bytes that arrive in pieces, as a connection does, and describes them. */
import { MessageBody, type ByteSource } from "../message/body.ts";
import { HttpError } from "../message/http-error.ts";
import { InputBuffer } from "../message/input-buffer.ts";
import { RequestParser, ResponseParser, type ParsedRequest, type ParsedResponse } from "../message/parser.ts";

class Pieces implements ByteSource {
  readonly input = new InputBuffer();
  readonly #pieces: Uint8Array[];

  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces.filter((piece) => piece.length > 0);
  }

  /** Adds the next piece; false when there is none. */
  more(): boolean {
    const piece = this.#pieces.shift();
    // A copy, because a reader may change its bytes.
    if (piece !== undefined) this.input.append(Buffer.from(piece));
    return piece !== undefined;
  }

  async read(): Promise<Buffer | undefined> {
    while (this.input.length === 0) if (!this.more()) return undefined;
    return this.input.take();
  }

  unread(rest: Buffer): void {
    this.input.unread(rest);
  }

  interrupt(): void {}
}

interface Parser<Message> {
  next(input: InputBuffer): Message | undefined;
}

async function messages<Message extends ParsedRequest | ParsedResponse>(
  pieces: readonly Uint8Array[],
  parser: Parser<Message>,
  name: (message: Message) => string,
): Promise<string[]> {
  const source = new Pieces(pieces);
  const found: string[] = [];
  try {
    for (;;) {
      let message = parser.next(source.input);
      while (message === undefined && source.more()) message = parser.next(source.input);
      if (message === undefined) return found;
      const body = new MessageBody(message.framing, source, () => new HttpError(0, "cut"));
      let text = "";
      for await (const bytes of body) text += bytes.toString("latin1");
      found.push(`${name(message)} ${text}`);
    }
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    return [...found, error.status === 0 ? "cut" : `refused ${error.status}`];
  }
}

/** "METHOD target body" of each; then "refused STATUS" after a rejection, or "cut" for a body that is incomplete. */
export function readRequests(pieces: readonly Uint8Array[]): Promise<string[]> {
  return messages(pieces, new RequestParser(), ({ head }) => `${head.method} ${head.target}`);
}

/** As `readRequests`, with "STATUS body", for answers to this method. */
export function readResponses(pieces: readonly Uint8Array[], method: string): Promise<string[]> {
  const parser = new ResponseParser();
  return messages(pieces, { next: (input) => parser.next(input, method) }, ({ head }) => String(head.status));
}
