/** An answer: one write for a small one, chunks with backpressure for a stream. */
import { EngineError } from "@fathom/base";
import type { Socket } from "node:net";

const reasons: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
  204: "No Content",
  304: "Not Modified",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  408: "Request Timeout",
  409: "Conflict",
  413: "Content Too Large",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
};

export interface ResponseOptions {
  /** Fields of every answer, as text with line ends. */
  readonly commonHeaders: string;
  /** HEAD: no body is sent. */
  readonly headOnly: boolean;
  readonly minor: 0 | 1;
  /** Whether the client wants another request on this connection. */
  readonly keepAlive: boolean;
}

let dateText = "";
let dateSecond = 0;

/** The Date field, made once a second. */
function dateHeader(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = `Date: ${new Date(second * 1000).toUTCString()}\r\n`;
  }
  return dateText;
}

export class Response {
  readonly #socket: Socket;
  readonly #options: ResponseOptions;
  #extra = "";
  #state: "open" | "streaming" | "ended" | "hijacked" = "open";
  #chunked = false;
  #keepAlive: boolean;
  status = 0;

  constructor(socket: Socket, options: ResponseOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#keepAlive = options.keepAlive;
  }

  /** The head has been sent: an error can no longer become a status. */
  get started(): boolean {
    return this.#state !== "open";
  }

  get ended(): boolean {
    return this.#state === "ended" || this.#state === "hijacked";
  }

  get hijacked(): boolean {
    return this.#state === "hijacked";
  }

  /** Whether the connection can carry another request when this answer has ended. */
  get keepAlive(): boolean {
    return this.#keepAlive;
  }

  /** The connection ends after this answer. */
  closeAfter(): void {
    this.#keepAlive = false;
  }

  /** `value` must not have line ends: it comes from the engine or was checked. */
  header(name: string, value: string): void {
    this.#extra += `${name}: ${value.replace(/[\r\n]/g, " ")}\r\n`;
  }

  #head(status: number, framing: string): string {
    this.status = status;
    const connection = this.#keepAlive ? "" : "Connection: close\r\n";
    const { commonHeaders } = this.#options;
    return `HTTP/1.1 ${status} ${reasons[status] ?? "Status"}\r\n${commonHeaders}${dateHeader()}${this.#extra}${connection}${framing}\r\n`;
  }

  /** A complete answer. */
  send(status: number, contentType: string, body: string | Uint8Array): void {
    const length = typeof body === "string" ? Buffer.byteLength(body) : body.byteLength;
    const head = this.#head(status, `Content-Type: ${contentType}\r\nContent-Length: ${length}\r\n`);
    this.#state = "ended";
    if (this.#options.headOnly) this.#socket.write(head, "latin1");
    else if (typeof body === "string") this.#socket.write(head + body);
    else {
      this.#socket.write(head, "latin1");
      this.#socket.write(body);
    }
  }

  json(status: number, value: unknown): void {
    this.send(status, "application/json", `${JSON.stringify(value)}\n`);
  }

  /** A status without a body. */
  empty(status: number): void {
    const framing = status === 204 || status === 304 ? "" : "Content-Length: 0\r\n";
    const head = this.#head(status, framing);
    this.#state = "ended";
    this.#socket.write(head, "latin1");
  }

  /** Starts a stream; its head is sent at once. */
  start(status: number, contentType: string): void {
    if (this.#options.minor === 0) this.#keepAlive = false;
    this.#chunked = this.#options.minor === 1;
    const framing = this.#chunked ? "Transfer-Encoding: chunked\r\n" : "";
    const head = this.#head(status, `Content-Type: ${contentType}\r\n${framing}`);
    this.#state = "streaming";
    this.#socket.write(head, "latin1");
  }

  /** Sends a piece at once; resolves when the socket takes more. @throws aborted when the client is gone */
  write(data: string | Uint8Array): Promise<void> | undefined {
    if (this.#options.headOnly || data.length === 0) return undefined;
    if (!this.#chunked) return writeTo(this.#socket, data);
    if (typeof data === "string")
      return writeTo(this.#socket, `${Buffer.byteLength(data).toString(16)}\r\n${data}\r\n`);
    // One write, so that small pieces are one packet; the copy is cheaper than a system call.
    const size = `${data.byteLength.toString(16)}\r\n`;
    const framed = Buffer.allocUnsafe(size.length + data.byteLength + 2);
    framed.write(size, 0, "latin1");
    framed.set(data, size.length);
    framed.write("\r\n", size.length + data.byteLength, "latin1");
    return writeTo(this.#socket, framed);
  }

  /** Ends a stream. */
  end(): void {
    if (this.#state !== "streaming") return;
    this.#state = "ended";
    if (this.#chunked && !this.#options.headOnly) this.#socket.write("0\r\n\r\n", "latin1");
  }

  /** Breaks off a stream: the client sees that it is not whole. */
  abort(): void {
    this.#state = "ended";
    this.#keepAlive = false;
    this.#socket.destroy();
  }

  /** Sends a head of the caller's and gives up the connection. */
  hijack(head: string): Socket {
    this.#state = "hijacked";
    this.#keepAlive = false;
    this.#socket.write(head, "latin1");
    return this.#socket;
  }
}

/**
 * Ends the connection after what was written, which the client may read as slowly as it likes. Then it has `lingerMs` to close its side too: a
 * socket that is closed before shows as an error there when it still sends.
 */
export function endSocket(socket: Socket, lingerMs: number): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  socket.once("close", () => clearTimeout(timer));
  socket.end(() => {
    if (!socket.destroyed) timer = setTimeout(() => socket.destroy(), lingerMs);
  });
}

/** Writes with backpressure. undefined when the socket took it. @throws aborted when the client is gone */
export function writeTo(socket: Socket, data: string | Uint8Array): Promise<void> | undefined {
  if (socket.destroyed || !socket.writable) return Promise.reject(new EngineError("aborted", "the client went away"));
  if (socket.write(data)) return undefined;
  return new Promise((resolve, reject) => {
    const done = (): void => {
      socket.off("drain", done);
      socket.off("close", closed);
      resolve();
    };
    const closed = (): void => {
      socket.off("drain", done);
      reject(new EngineError("aborted", "the client went away"));
    };
    socket.once("drain", done);
    socket.once("close", closed);
  });
}
