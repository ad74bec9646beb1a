/**
 * One connection to the daemon: HTTP/1.1 by hand over a socket, since that starts faster than `fetch` in a program that lives for
 * milliseconds, and since attach needs the bare socket anyway. Reading is pulled: what nobody reads stays in the kernel.
 */
import { EngineError } from "@fathom/base";
import { connect, type Socket } from "node:net";
import type { Address } from "./address.ts";

/** Bytes held for a slow reader before the socket is paused. */
const inputLimit = 256 * 1024;
const headLimit = 64 * 1024;
const lineLimit = 8 * 1024;

export interface ResponseHead {
  readonly status: number;
  /** Lower-case names; of repeated fields the last. */
  readonly headers: ReadonlyMap<string, string>;
}

export class Connection {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #size = 0;
  #ended = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (data: Buffer) => {
      this.#chunks.push(data);
      this.#size += data.length;
      if (this.#size >= inputLimit) socket.pause();
      this.#notify();
    });
    const end = (): void => {
      this.#ended = true;
      this.#notify();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", (error) => {
      this.#failure = error;
      end();
    });
  }

  /** Rejects with the system's error when nobody answers. */
  static open(address: Address): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket =
        address.kind === "unix"
          ? connect({ path: address.path, allowHalfOpen: true })
          : connect({ host: address.hostname, port: address.port, allowHalfOpen: true, noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new Connection(socket));
      });
    });
  }

  /** Still good for another request. */
  get usable(): boolean {
    return !this.#ended && !this.#socket.destroyed && this.#size === 0;
  }

  /** Kept for later: a program that has nothing else to do may end. */
  rest(): void {
    this.#socket.unref();
  }

  wake(): void {
    this.#socket.ref();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Resolves when the socket takes more. Rejects when the daemon has closed it. */
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

  /** No more from this side. */
  end(): void {
    this.#socket.end();
  }

  close(): void {
    this.#socket.destroy();
  }

  /** The next bytes; undefined at the end. */
  async read(): Promise<Buffer | undefined> {
    while (this.#chunks.length === 0) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const chunk = this.#chunks.shift()!;
    this.#size -= chunk.length;
    if (this.#size < inputLimit && this.#socket.isPaused()) this.#socket.resume();
    return chunk;
  }

  unread(rest: Buffer): void {
    if (rest.length === 0) return;
    this.#chunks.unshift(rest);
    this.#size += rest.length;
  }

  /** Bytes up to `separator`, which is taken too; undefined when the connection ends first. */
  async #until(separator: string, limit: number): Promise<string | undefined> {
    let buffer: Buffer = Buffer.alloc(0);
    for (;;) {
      const chunk = await this.read();
      if (chunk === undefined) return undefined;
      buffer = buffer.length === 0 ? chunk : Buffer.concat([buffer, chunk]);
      const end = buffer.indexOf(separator, 0, "latin1");
      if (end >= 0) {
        this.unread(buffer.subarray(end + separator.length));
        return buffer.toString("latin1", 0, end);
      }
      if (buffer.length > limit) throw malformed();
    }
  }

  /** @throws Error when the connection ends before an answer, data-loss when it is none */
  async readHead(): Promise<ResponseHead> {
    for (;;) {
      const text = await this.#until("\r\n\r\n", headLimit);
      if (text === undefined) throw new Error("the connection ended before an answer");
      const [first = "", ...lines] = text.split("\r\n");
      const match = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first);
      if (match === null) throw malformed();
      const status = Number(match[1]);
      // "100 Continue" and its kind come before the answer.
      if (status >= 100 && status < 200 && status !== 101) continue;
      const headers = new Map<string, string>();
      for (const line of lines) {
        const colon = line.indexOf(":");
        if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
      }
      return { status, headers };
    }
  }

  /**
   * The answer's body. `done` is called once: with true when the connection can be used again.
   * @throws data-loss when the connection ends within it
   */
  async *body(head: ResponseHead, method: string, done: (reusable: boolean) => void): AsyncGenerator<Buffer> {
    let reusable = false;
    try {
      const length = head.headers.get("content-length");
      if (method === "HEAD" || head.status === 204 || head.status === 304) reusable = true;
      else if (head.headers.get("transfer-encoding")?.toLowerCase() === "chunked") {
        yield* this.#chunked();
        reusable = true;
      } else if (length !== undefined) {
        yield* this.#exactly(Number(length));
        reusable = true;
      } else for (let chunk = await this.read(); chunk !== undefined; chunk = await this.read()) yield chunk;
    } finally {
      done(reusable && head.headers.get("connection")?.toLowerCase() !== "close");
    }
  }

  async *#exactly(length: number): AsyncGenerator<Buffer> {
    for (let left = length; left > 0;) {
      const chunk = await this.read();
      if (chunk === undefined) throw cut();
      const taken = chunk.length > left ? chunk.subarray(0, left) : chunk;
      this.unread(chunk.subarray(taken.length));
      left -= taken.length;
      yield taken;
    }
  }

  async *#chunked(): AsyncGenerator<Buffer> {
    for (;;) {
      const line = await this.#until("\r\n", lineLimit);
      if (line === undefined) throw cut();
      const size = Number.parseInt(line, 16);
      if (!/^[\da-fA-F]{1,12}/.test(line)) throw malformed();
      if (size > 0) yield* this.#exactly(size);
      // The line end behind a chunk, or the trailers behind the last one.
      for (;;) {
        const rest = await this.#until("\r\n", lineLimit);
        if (rest === undefined) throw cut();
        if (rest === "") break;
        if (size > 0) throw malformed();
      }
      if (size === 0) return;
    }
  }
}

function cut(): EngineError {
  return new EngineError("data-loss", "the daemon ended the connection within its answer");
}

function malformed(): EngineError {
  return new EngineError("data-loss", "the daemon's answer is not HTTP");
}
