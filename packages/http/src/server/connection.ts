/**
 * One client connection: requests one after another, each given to the handler with its body unread, then kept, closed or handed over
 * (attach, exec). An own server instead of node:http because three things must be exact: a connection can be taken over with and
 * without Upgrade, each side can be half-closed, and nothing is read from a client faster than it is consumed.
 */
import type { Socket } from "node:net";
import { Turns } from "@fathom/base";
import { RequestBody, type BodyLimits, type ByteSource } from "../message/body.ts";
import { BadRequestError, bodyFraming, headLimit, parseHead, type RequestHead } from "../message/head.ts";
import { endSocket, Response } from "./response.ts";

/** Bytes held for a request that nobody reads; then the socket is paused. */
const inputLimit = 64 * 1024;
/** A body that the handler left is read up to here, and not for ever, to keep the connection. */
const skipLimit = 256 * 1024;
const skipTimeoutMs = 5_000;
/** Answers that wait for a client to read them; then its next request waits too. */
const unreadLimit = 256 * 1024;
/** A client that does not close after the last answer is closed by us. */
const lingerMs = 2_000;
/** From the first byte of a head to its last. */
const headTimeoutMs = 30_000;

/** Of all connections together. */
const turns = new Turns();

export interface Exchange {
  readonly head: RequestHead;
  readonly body: RequestBody;
  readonly response: Response;
  /** Fires when the client hangs up, or when the server stops. Made on first use. */
  readonly signal: AbortSignal;
  /** Ends the exchange's signal; streams end by it when the server stops. */
  abort(reason: Error): void;
  /** From now on a half-closed client means "no more input", not "gone". Called before the first await of a handler. */
  expectHijack(): void;
  /** After Response.hijack: what came behind the request, the first of the client's bytes, and whether those were the last. */
  takeInput(): HijackedInput;
}

export interface HijackedInput {
  readonly first: Buffer;
  readonly ended: boolean;
}

export type ExchangeHandler = (exchange: Exchange) => Promise<void>;

export class Connection implements ByteSource {
  readonly #socket: Socket;
  readonly #handler: ExchangeHandler;
  readonly #commonHeaders: string;
  readonly #limits: BodyLimits;
  #input: Buffer = Buffer.alloc(0);
  /** Where `#input` is when it came in pieces, with room behind it: a byte at a time must not cost a copy of all before it. */
  #store: Buffer | undefined;
  /** Bytes of `#input` in which no end of a head is. */
  #searched = 0;
  #interrupted: Error | undefined;
  #inputEnded = false;
  #paused = false;
  #wakeReader: (() => void) | undefined;
  #headTimer: Timer | undefined;
  #exchange: ActiveExchange | undefined;
  #closing = false;

  constructor(socket: Socket, handler: ExchangeHandler, commonHeaders: string, limits: BodyLimits) {
    this.#socket = socket;
    this.#limits = limits;
    this.#handler = handler;
    this.#commonHeaders = commonHeaders;
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("close", this.#onClose);
    // What went wrong is told by "close"; a client that vanishes is no event of note.
    socket.on("error", ignore);
  }

  /** Present while a request is being handled. */
  get exchange(): Exchange | undefined {
    return this.#exchange;
  }

  /** Open, and nothing is asked on it. */
  get idle(): boolean {
    return this.#exchange === undefined && this.#input.length === 0;
  }

  /** Answers whatever is asked with this error, and ends. */
  refuse(error: BadRequestError): void {
    this.#refuse(error);
  }

  /** No further requests; an idle connection ends now, a busy one after its answer. */
  closeWhenIdle(): void {
    this.#closing = true;
    if (this.#exchange === undefined) this.#socket.destroySoon();
    else this.#exchange.response.closeAfter();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  // ByteSource

  async read(): Promise<Buffer | undefined> {
    while (this.#input.length === 0) {
      if (this.#interrupted !== undefined) throw this.#interrupted;
      if (this.#inputEnded) return undefined;
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
    return this.#take();
  }

  unread(rest: Buffer): void {
    this.#input = this.#input.length === 0 ? rest : Buffer.concat([rest, this.#input]);
    this.#store = undefined;
  }

  interrupt(reason: Error): void {
    this.#interrupted = reason;
    this.#wake();
  }

  #append(data: Buffer): void {
    const before = this.#input;
    if (before.length === 0) {
      this.#input = data;
      this.#store = undefined;
      return;
    }
    const size = before.length + data.length;
    let store = this.#store;
    let start = store === undefined ? 0 : before.byteOffset - store.byteOffset;
    if (store === undefined || start + size > store.length) {
      store = Buffer.allocUnsafe(2 * size);
      start = 0;
      before.copy(store);
      this.#store = store;
    }
    data.copy(store, start + before.length);
    this.#input = store.subarray(start, start + size);
  }

  #take(): Buffer {
    const bytes = this.#input;
    this.#input = Buffer.alloc(0);
    this.#store = undefined;
    this.#resume();
    return bytes;
  }

  #resume(): void {
    if (!this.#paused || this.#inputEnded) return;
    this.#paused = false;
    this.#socket.resume();
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }

  readonly #onData = (data: Buffer): void => {
    this.#append(data);
    if (this.#exchange === undefined) this.#tryHead();
    else if (this.#wakeReader !== undefined) this.#wake();
    else if (this.#input.length >= inputLimit) {
      this.#paused = true;
      this.#socket.pause();
    }
  };

  readonly #onEnd = (): void => {
    this.#inputEnded = true;
    this.#wake();
    if (this.#exchange === undefined) this.#socket.end();
    // A client that says no more while it waits for an answer has hung up; only a hijacking one may still listen.
    else if (!this.#exchange.hijacking) this.#exchange.abort(new Error("the client closed the connection"));
  };

  readonly #onClose = (): void => {
    this.#inputEnded = true;
    clearTimeout(this.#headTimer);
    this.#wake();
    this.#exchange?.abort(new Error("the client closed the connection"));
  };

  #tryHead(): void {
    // Empty lines before a request are to be ignored (RFC 9112 section 2.2).
    let start = 0;
    while (this.#input[start] === 13 && this.#input[start + 1] === 10) start += 2;
    if (start > 0) {
      this.#input = this.#input.subarray(start);
      this.#searched = 0;
    }
    const end = this.#input.indexOf("\r\n\r\n", Math.max(0, this.#searched - 3), "latin1");
    this.#searched = end < 0 ? this.#input.length : 0;
    if (end < 0) {
      if (this.#inputEnded) return this.#finish();
      if (this.#input.length > headLimit)
        return this.#refuse(new BadRequestError(431, "the request head is too large"));
      if (this.#input.length > 0)
        this.#headTimer ??= setTimeout(
          () => this.#refuse(new BadRequestError(408, "the request head did not come in time")),
          headTimeoutMs,
        );
      return;
    }
    clearTimeout(this.#headTimer);
    this.#headTimer = undefined;
    if (end > headLimit) return this.#refuse(new BadRequestError(431, "the request head is too large"));
    try {
      const head = parseHead(this.#input.toString("latin1", 0, end));
      const framing = bodyFraming(head);
      this.#input = this.#input.subarray(end + 4);
      void this.#serve(head, framing);
    } catch (error) {
      this.#refuse(error);
    }
  }

  #refuse(error: unknown): void {
    if (this.#socket.destroyed) return;
    const status = error instanceof BadRequestError ? error.status : 500;
    const message = error instanceof BadRequestError ? error.message : "internal error";
    const response = this.#response(undefined);
    response.closeAfter();
    response.json(status, { message });
    this.#finish();
  }

  /** Ends the connection after what was written, and does not wait for ever for the client's own end. */
  #finish(): void {
    if (this.#closing) {
      this.#socket.destroySoon();
      return;
    }
    this.#socket.off("data", this.#onData);
    this.#socket.resume();
    endSocket(this.#socket, lingerMs);
  }

  #response(head: RequestHead | undefined): Response {
    const connection = head?.headers.get("connection")?.toLowerCase() ?? "";
    const minor = head?.minor ?? 1;
    return new Response(this.#socket, {
      commonHeaders: this.#commonHeaders,
      headOnly: head?.method === "HEAD",
      minor,
      keepAlive: !this.#closing && (minor === 1 ? !connection.includes("close") : false),
    });
  }

  async #serve(head: RequestHead, framing: ReturnType<typeof bodyFraming>): Promise<void> {
    const response = this.#response(head);
    const expects = head.headers.get("expect")?.toLowerCase() === "100-continue";
    const onFirstRead = expects
      ? () => {
          if (!response.started) this.#socket.write("HTTP/1.1 100 Continue\r\n\r\n", "latin1");
        }
      : undefined;
    const exchange = new ActiveExchange(head, new RequestBody(framing, this, this.#limits, onFirstRead), response, () =>
      this.#release(),
    );
    this.#exchange = exchange;
    try {
      const handled = this.#handler(exchange);
      // The client's end came while the request waited for its turn.
      if (this.#inputEnded && !exchange.hijacking) exchange.abort(new Error("the client closed the connection"));
      await handled;
    } finally {
      await this.#after(exchange);
    }
  }

  /** The socket's bytes are the hijacker's from here on. */
  #release(): HijackedInput {
    this.#socket.off("data", this.#onData);
    this.#socket.off("end", this.#onEnd);
    this.#exchange?.body.release();
    const rest = this.#input;
    this.#input = Buffer.alloc(0);
    this.#socket.pause();
    return { first: rest, ended: this.#inputEnded };
  }

  async #skip(body: RequestBody): Promise<boolean> {
    const timer = setTimeout(() => this.#socket.destroy(), skipTimeoutMs);
    try {
      return await body.skip(skipLimit);
    } catch {
      return false;
    } finally {
      clearTimeout(timer);
    }
  }

  /** For requests that came behind each other without waiting for answers: one of them a round, and none whose answers nobody reads. */
  async #nextTurn(): Promise<void> {
    await turns.end();
    const socket = this.#socket;
    while (socket.writableLength > unreadLimit && !socket.destroyed)
      await new Promise<void>((resolve) => {
        const goOn = (): void => {
          socket.off("drain", goOn).off("close", goOn);
          resolve();
        };
        socket.on("drain", goOn).on("close", goOn);
      });
  }

  async #after(exchange: ActiveExchange): Promise<void> {
    const { response, body } = exchange;
    body.release();
    if (response.hijacked) return;
    const mayGoOn = (): boolean => !this.#closing && (!this.#inputEnded || this.#input.length > 0);
    let usable = response.ended && response.keepAlive && mayGoOn();
    if (usable && !body.ended) usable = await this.#skip(body);
    if (usable && this.#input.length > 0) await this.#nextTurn();
    this.#exchange = undefined;
    if (!usable || !mayGoOn() || this.#socket.destroyed) return this.#finish();
    this.#resume();
    if (this.#input.length > 0) this.#tryHead();
    else if (this.#inputEnded) this.#socket.end();
  }
}

class ActiveExchange implements Exchange {
  readonly head: RequestHead;
  readonly body: RequestBody;
  readonly response: Response;
  readonly #release: () => HijackedInput;
  #controller: AbortController | undefined;
  #aborted: Error | undefined;
  hijacking = false;

  constructor(head: RequestHead, body: RequestBody, response: Response, release: () => HijackedInput) {
    this.head = head;
    this.body = body;
    this.response = response;
    this.#release = release;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  abort(reason: Error): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = reason;
    this.#controller?.abort(reason);
  }

  expectHijack(): void {
    this.hijacking = true;
  }

  takeInput(): HijackedInput {
    return this.#release();
  }
}

function ignore(): void {}
