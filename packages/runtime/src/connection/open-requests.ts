/**
 * The requests of a connection that have no answer yet. Each request ends once: with its answer, at its deadline, with its signal's reason, or
 * when its caller stops waiting. In the last three cases an answer may still arrive; `late` gets it.
 */
import { deferred, EngineError, type Deferred } from "@fathom/base";

export interface RequestOptions {
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** Handles the answer to a request that was given up: undoes its effect. */
  readonly late?: (payload: Uint8Array) => void;
}

/** Requests that were given up before their answer arrived. */
const abandonedLimit = 256;

interface OpenRequest {
  readonly answer: Deferred<Uint8Array>;
  readonly late: ((payload: Uint8Array) => void) | undefined;
  abandoned: boolean;
  cleanUp(): void;
}

export class OpenRequests {
  readonly #requests = new Map<number, OpenRequest>();
  readonly #unsend: (id: number) => boolean;
  #abandoned = 0;

  /** @param unsend Removes a request's message from the queue of messages. Returns false when the message, or a part of it, has been sent. */
  constructor(unsend: (id: number) => boolean) {
    this.#unsend = unsend;
  }

  /** True while a caller waits for an answer. */
  get areAwaited(): boolean {
    return this.#requests.size > this.#abandoned;
  }

  has(id: number): boolean {
    return this.#requests.has(id);
  }

  add(id: number, { deadlineMs, signal, late }: RequestOptions): Promise<Uint8Array> {
    const answer = deferred<Uint8Array>();
    const expire = (): void =>
      this.#abandon(
        id,
        new EngineError(
          "timeout",
          `the container's supervisor did not answer a request within ${(deadlineMs ?? 0) / 1000} s`,
        ),
      );
    const timer = deadlineMs === undefined ? undefined : setTimeout(expire, deadlineMs);
    const onAbort = (): void => this.#abandon(id, signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#requests.set(id, {
      answer,
      late,
      abandoned: false,
      cleanUp() {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      },
    });
    return answer.promise;
  }

  answer(id: number, payload: Uint8Array): void {
    const request = this.#take(id);
    if (request?.abandoned === true) request.late?.(payload);
    else request?.answer.resolve(payload);
  }

  reject(id: number, error: unknown): void {
    this.#take(id)?.answer.reject(error);
  }

  /** For a connection on which no more answers can arrive. */
  rejectAll(error: unknown): void {
    for (const id of this.#requests.keys()) this.reject(id, error);
  }

  /** For requests whose callers stop waiting; answers may still arrive. */
  giveUpAll(error: unknown): void {
    for (const id of this.#requests.keys()) this.#abandon(id, error);
  }

  #take(id: number): OpenRequest | undefined {
    const request = this.#requests.get(id);
    if (request === undefined) return undefined;
    this.#requests.delete(id);
    request.cleanUp();
    if (request.abandoned) this.#abandoned--;
    return request;
  }

  #abandon(id: number, error: unknown): void {
    const request = this.#requests.get(id);
    if (request === undefined || request.abandoned) return;
    request.cleanUp();
    request.answer.reject(error);
    if (this.#unsend(id)) {
      this.#requests.delete(id);
      return;
    }
    request.abandoned = true;
    this.#abandoned++;
    for (const [old, one] of this.#requests) {
      if (this.#abandoned <= abandonedLimit) break;
      if (one.abandoned) this.#take(old);
    }
  }
}
