/** One request and its answer, as a handler sees them. */
import type { RequestHead } from "../message/head.ts";
import type { RequestBody } from "./request-body.ts";
import type { Response } from "./response.ts";

export interface Exchange {
  readonly head: RequestHead;
  readonly body: RequestBody;
  readonly response: Response;
  /** Aborts when the client hangs up, or when the server stops. Made at the first use. */
  readonly signal: AbortSignal;
  /** Ends the exchange's signal; with it, streams end when the server stops. */
  abort(reason: Error): void;
  /** From now on a half-closed client means "no more input", not "gone". Call it before the first await of a handler. */
  expectHijack(): void;
  /** After Response.hijack: the bytes that arrived after the request (the first of the client's bytes), and whether those were the last. */
  takeInput(): HijackedInput;
}

export interface HijackedInput {
  readonly first: Buffer;
  readonly ended: boolean;
}

export type ExchangeHandler = (exchange: Exchange) => Promise<void>;

export class ActiveExchange implements Exchange {
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
