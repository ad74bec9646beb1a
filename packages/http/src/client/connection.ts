/**
 * One connection to a server: requests and answers one after another; or a connection taken over after an answer's head. Data is pulled: bytes
 * that nobody reads stay in the kernel.
 */
import type { Socket } from "node:net";
import { MessageBody } from "../message/body.ts";
import type { ResponseHead } from "../message/head.ts";
import { ResponseParser, type ParsedResponse } from "../message/parser.ts";
import { SocketReader } from "../socket/socket-reader.ts";

/** Bytes that are held for a slow reader before the socket is paused. */
const inputLimit = 256 * 1024;

export class ClientConnection {
  readonly #socket: Socket;
  readonly #reader: SocketReader;
  readonly #parser = new ResponseParser();
  readonly #cut: () => Error;
  #failure: Error | undefined;

  /** @param cut The error when a connection ends in the middle of an answer's body. */
  constructor(socket: Socket, cut: () => Error) {
    this.#socket = socket;
    this.#cut = cut;
    this.#reader = new SocketReader(socket, inputLimit, {
      error: (reason) => {
        this.#failure = reason;
        this.#reader.interrupt(reason);
      },
    });
  }

  /** It can be used for another request. */
  get usable(): boolean {
    return !this.#reader.ended && !this.#socket.destroyed && this.#reader.input.length === 0;
  }

  /** Kept for later; it does not keep a program running that has nothing else to do. */
  rest(): void {
    this.#socket.unref();
  }

  wake(): void {
    this.#socket.ref();
  }

  /** Resolves when the socket accepts more. Rejects when the server has closed it. */
  async write(data: string | Uint8Array): Promise<void> {
    const socket = this.#socket;
    if (this.#failure !== undefined) throw this.#failure;
    if (socket.destroyed || !socket.writable) throw new Error("the connection is closed");
    if (socket.write(data)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off("drain", done);
        socket.off("close", done);
        resolve();
      };
      socket.once("drain", done);
      socket.once("close", done);
    });
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Closes this side. */
  end(): void {
    this.#socket.end();
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Bytes of a connection that was taken over; undefined at the end. */
  read(): Promise<Buffer | undefined> {
    return this.#reader.read();
  }

  /** The head of the answer to a request with this method. @throws HttpError; Error when the connection ends before an answer */
  async readHead(method: string): Promise<ParsedResponse> {
    const { input } = this.#reader;
    for (;;) {
      const answer = this.#parser.next(input, method);
      if (answer !== undefined) return answer;
      if (!(await this.#reader.more())) throw new Error("the connection ended before an answer");
    }
  }

  /**
   * The answer's body. `done` is called once: with true when the connection can be used again.
   * @throws HttpError; the error of `cut`
   */
  async *body({ head, framing }: ParsedResponse, done: (reusable: boolean) => void): AsyncGenerator<Buffer> {
    const body = new MessageBody(framing, this.#reader, this.#cut);
    try {
      for (let bytes = await body.read(); bytes !== undefined; bytes = await body.read()) yield bytes;
    } finally {
      done(body.ended && framing.kind !== "until-end" && keepsAlive(head));
    }
  }
}

/** RFC 9112 section 9.3: HTTP/1.0 closes the connection, unless the answer says that it keeps it. */
function keepsAlive(head: ResponseHead): boolean {
  const options = (head.headers.get("connection") ?? "").split(",").map((option) => option.trim().toLowerCase());
  return !options.includes("close") && (head.minor === 1 || options.includes("keep-alive"));
}
