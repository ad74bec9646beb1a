/**
 * One client connection: requests one after another. Each is passed to the handler with its body unread; then the connection is kept, closed or
 * handed over (attach, exec). It is our own server instead of node:http because three things must be exact: a connection can be taken over with
 * and without Upgrade, each side can be half-closed, and nothing is read from a client faster than it is consumed.
 */
import type { Socket } from "node:net";
import { Turns } from "@fathom/base";
import type { RequestHead } from "../message/head.ts";
import { HttpError } from "../message/http-error.ts";
import { RequestParser, type ParsedRequest } from "../message/parser.ts";
import { continueHead } from "../message/serialise.ts";
import { endSocket } from "../socket/socket-output.ts";
import { SocketReader } from "../socket/socket-reader.ts";
import { connectionLimits, type ConnectionLimits } from "./connection-limits.ts";
import { ActiveExchange, type Exchange, type ExchangeHandler, type HijackedInput } from "./exchange.ts";
import { RequestBody, type BodyLimits } from "./request-body.ts";
import { Response } from "./response.ts";

/** For all connections together. */
const turns = new Turns();

export class Connection {
  readonly #socket: Socket;
  readonly #handler: ExchangeHandler;
  readonly #commonHeaders: string;
  readonly #bodies: BodyLimits;
  readonly #limits: ConnectionLimits;
  readonly #reader: SocketReader;
  readonly #parser = new RequestParser();
  #headTimer: Timer | undefined;
  #exchange: ActiveExchange | undefined;
  #closing = false;

  constructor(
    socket: Socket,
    handler: ExchangeHandler,
    commonHeaders: string,
    bodies: BodyLimits,
    limits: ConnectionLimits = connectionLimits,
  ) {
    this.#socket = socket;
    this.#bodies = bodies;
    this.#limits = limits;
    this.#handler = handler;
    this.#commonHeaders = commonHeaders;
    // "close" reports what went wrong; a client that disappears needs no report.
    this.#reader = new SocketReader(socket, limits.inputBytes, {
      bytes: () => {
        if (this.#exchange !== undefined) return false;
        this.#tryHead();
        return true;
      },
      end: () => this.#onEnd(),
      close: () => this.#onClose(),
    });
  }

  /** Present while a request is being handled. */
  get exchange(): Exchange | undefined {
    return this.#exchange;
  }

  /** Open, without a request. */
  get idle(): boolean {
    return this.#exchange === undefined && this.#reader.input.length === 0 && !this.#parser.begun;
  }

  /** Answers every request with this error, and ends. */
  refuse(error: HttpError): void {
    this.#refuse(error);
  }

  /** No more requests; an idle connection ends now, a busy one after its answer. */
  closeWhenIdle(): void {
    this.#closing = true;
    if (this.#exchange === undefined) this.#socket.destroySoon();
    else this.#exchange.response.closeAfter();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #onEnd(): void {
    if (this.#exchange === undefined) this.#socket.end();
    // A client that closes its side while it waits for an answer has hung up; only a client of a hijacked connection may still read.
    else if (!this.#exchange.hijacking) this.#exchange.abort(new Error("the client closed the connection"));
  }

  #onClose(): void {
    clearTimeout(this.#headTimer);
    this.#exchange?.abort(new Error("the client closed the connection"));
  }

  #tryHead(): void {
    const { input, ended } = this.#reader;
    try {
      const request = this.#parser.next(input);
      if (request !== undefined) {
        clearTimeout(this.#headTimer);
        this.#headTimer = undefined;
        void this.#serve(request);
      } else if (ended) this.#finish();
      else if (input.length > 0 || this.#parser.begun)
        this.#headTimer ??= setTimeout(
          () => this.#refuse(new HttpError(408, "the request head did not come in time")),
          this.#limits.headTimeoutMs,
        );
    } catch (error) {
      this.#refuse(error);
    }
  }

  #refuse(error: unknown): void {
    clearTimeout(this.#headTimer);
    if (this.#socket.destroyed) return;
    const status = error instanceof HttpError ? error.status : 500;
    const message = error instanceof HttpError ? error.message : "internal error";
    const response = this.#response(undefined);
    response.closeAfter();
    response.json(status, { message });
    this.#finish();
  }

  /** Ends the connection after the written bytes, and waits only a limited time for the client's own end. */
  #finish(): void {
    if (this.#closing) {
      this.#socket.destroySoon();
      return;
    }
    this.#reader.release();
    this.#socket.resume();
    endSocket(this.#socket, this.#limits.lingerMs);
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

  async #serve({ head, framing }: ParsedRequest): Promise<void> {
    const response = this.#response(head);
    const expects = head.headers.get("expect")?.toLowerCase() ?? "";
    if (expects !== "" && expects !== "100-continue")
      return this.#refuse(new HttpError(417, `this server does not know the expectation ${JSON.stringify(expects)}`));
    // A client of HTTP/1.0 does not know it.
    const onFirstRead =
      expects !== "" && head.minor === 1
        ? () => {
            if (!response.started) this.#socket.write(continueHead, "latin1");
          }
        : undefined;
    const exchange = new ActiveExchange(
      head,
      new RequestBody(framing, this.#reader, this.#bodies, onFirstRead),
      response,
      () => this.#release(),
    );
    this.#exchange = exchange;
    try {
      const handled = this.#handler(exchange);
      // The client's end arrived while the request waited for its turn.
      if (this.#reader.ended && !exchange.hijacking) exchange.abort(new Error("the client closed the connection"));
      await handled;
    } finally {
      await this.#after(exchange);
    }
  }

  /** From here on the socket's bytes belong to the hijacker. */
  #release(): HijackedInput {
    this.#reader.release();
    this.#exchange?.body.release();
    this.#socket.pause();
    return { first: this.#reader.input.take(), ended: this.#reader.ended };
  }

  async #skip(body: RequestBody): Promise<boolean> {
    const timer = setTimeout(() => this.#socket.destroy(), this.#limits.skipTimeoutMs);
    try {
      return await body.skip(this.#limits.skipBytes);
    } catch {
      return false;
    } finally {
      clearTimeout(timer);
    }
  }

  /** For pipelined requests: one of them per round, and none whose answers nobody reads. */
  async #nextTurn(): Promise<void> {
    await turns.end();
    const socket = this.#socket;
    while (socket.writableLength > this.#limits.unreadBytes && !socket.destroyed)
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
    const mayGoOn = (): boolean => !this.#closing && (!this.#reader.ended || this.#reader.input.length > 0);
    let usable = response.ended && response.keepAlive && mayGoOn();
    if (usable && !body.ended) usable = await this.#skip(body);
    if (usable && this.#reader.input.length > 0) await this.#nextTurn();
    this.#exchange = undefined;
    if (!usable || !mayGoOn() || this.#socket.destroyed) return this.#finish();
    this.#reader.resume();
    if (this.#reader.input.length > 0) this.#tryHead();
    else if (this.#reader.ended) this.#socket.end();
  }
}
