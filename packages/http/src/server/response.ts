/** An answer: one write for a small one, chunks with back-pressure for a stream. */
import { EngineError } from "@fathom/base";
import type { Socket } from "node:net";
import { dateField, encodeChunk, lastChunk, serialiseField, serialiseResponseHead } from "../message/serialise.ts";
import { writeTo } from "../socket/socket-output.ts";

export interface ResponseOptions {
  /** Fields of every answer, as text with line ends. */
  readonly commonHeaders: string;
  /** HEAD: no body is sent. */
  readonly headOnly: boolean;
  readonly minor: 0 | 1;
  /** Whether the client wants another request on this connection. */
  readonly keepAlive: boolean;
}

export class Response {
  readonly #socket: Socket;
  readonly #options: ResponseOptions;
  #extra = "";
  #state: "open" | "streaming" | "ended" | "hijacked" = "open";
  #chunked = false;
  /** Bytes of a stream with a length that are not written yet. */
  #left: number | undefined;
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

  /** A field for this answer only. Line ends in `value` become spaces. */
  header(name: string, value: string): void {
    this.#extra += serialiseField(name, value.replace(/[\r\n]/g, " "));
  }

  #head(status: number, framing: string): string {
    this.status = status;
    const connection = this.#keepAlive ? "" : "Connection: close\r\n";
    const { commonHeaders } = this.#options;
    return serialiseResponseHead(status, `${commonHeaders}${dateField()}${this.#extra}${connection}${framing}`);
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

  /** Starts a stream; its head is sent at once. With a length, exactly so many bytes must be written before `end`. */
  start(status: number, contentType: string, length?: number): void {
    if (length === undefined && this.#options.minor === 0) this.#keepAlive = false;
    this.#chunked = length === undefined && this.#options.minor === 1;
    this.#left = length;
    const framing =
      length !== undefined ? `Content-Length: ${length}\r\n` : this.#chunked ? "Transfer-Encoding: chunked\r\n" : "";
    const head = this.#head(status, `Content-Type: ${contentType}\r\n${framing}`);
    this.#state = "streaming";
    this.#socket.write(head, "latin1");
  }

  /** Sends a piece at once; resolves when the socket accepts more. @throws aborted when the client has gone */
  write(data: string | Uint8Array): Promise<void> | undefined {
    if (this.#options.headOnly || data.length === 0) return undefined;
    if (this.#left !== undefined) this.#left -= typeof data === "string" ? Buffer.byteLength(data) : data.byteLength;
    if (this.#left !== undefined && this.#left < 0) {
      this.abort();
      throw new EngineError("internal", "more bytes were written to an answer than its length");
    }
    if (!this.#chunked) return writeTo(this.#socket, data);
    return writeTo(this.#socket, encodeChunk(data));
  }

  /** Ends a stream. */
  end(): void {
    if (this.#state !== "streaming") return;
    // The client must see that bytes are missing.
    if (this.#left !== undefined && this.#left > 0 && !this.#options.headOnly) return this.abort();
    this.#state = "ended";
    if (this.#chunked && !this.#options.headOnly) this.#socket.write(lastChunk, "latin1");
  }

  /** Breaks off a stream: the client sees that it is incomplete. */
  abort(): void {
    this.#state = "ended";
    this.#keepAlive = false;
    this.#socket.destroy();
  }

  /** Sends a head of the caller and releases the connection. */
  hijack(head: string): Socket {
    this.#state = "hijacked";
    this.#keepAlive = false;
    this.#socket.write(head, "latin1");
    return this.#socket;
  }
}
