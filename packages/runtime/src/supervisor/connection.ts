/**
 * One connection to a supervisor: requests with answers, and what the supervisor says by itself.
 *
 * Every request ends: with its answer, at its own deadline or signal, when the connection ends, or when the supervisor is silent
 * (`silence-watch.ts`). Silent is not dead: the connection stays, and whatever comes over it ends the silence.
 *
 * The stream is never out of step: a message goes out whole, or the connection ends (`send-queue.ts`).
 */
import { connect, type Socket } from "node:net";
import { deferred, EngineError, messageOf, type Deferred } from "@fathom/base";
import { isSysError, type Sys } from "@fathom/sys";
import {
  firstPeer,
  frame,
  helloPayload,
  MessageParser,
  messageTypes,
  parseFailure,
  parseHello,
  SupervisorFailure,
  type Message,
  type Peer,
} from "./protocol.ts";
import { copiesOf, SendQueue, type QueueSys } from "./send-queue.ts";
import { SilenceWatch } from "./silence-watch.ts";
import { endWithin } from "./waits.ts";

export type ConnectionSys = QueueSys & Pick<Sys, "setNonBlocking">;

/** How long a request to a silent supervisor waits for it to speak again. */
const silentPatienceMs = 1000;
/** Requests that were given up while their answer was on its way. */
const abandonedLimit = 256;
/** More than a supervisor says of exits before it is listened to. */
const unheardLimit = 8192;

export interface RequestOptions {
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** The answer of a request that was given up: undoes what it has done. */
  readonly late?: (payload: Uint8Array) => void;
}

interface Waiting {
  readonly answer: Deferred<Uint8Array>;
  readonly late: ((payload: Uint8Array) => void) | undefined;
  abandoned: boolean;
  cleanUp(): void;
}

export class SupervisorConnection {
  readonly #sys: ConnectionSys;
  readonly #socket: Socket;
  readonly #parser = new MessageParser();
  readonly #waiting = new Map<number, Waiting>();
  readonly #queue: SendQueue;
  readonly #watch: SilenceWatch;
  readonly #closed = deferred<string>();
  #abandoned = 0;
  #nextId = 1;
  #open = true;
  /** Why it is silent. */
  #silence: string | undefined;
  #heard: Deferred<void> | undefined;
  /** What the supervisor speaks. Requests need not wait for it: answers come in the order of the questions. */
  readonly peer: Promise<Peer>;
  #onMessage: ((message: Message) => void) | undefined;
  readonly #unheard: Message[] = [];
  /** It owes an answer and does not even give its hello; called at every look. Whoever knows that it cannot answer calls `giveUp`. */
  onSuspect: () => void = () => undefined;
  /** A reason when it has become silent, undefined when it speaks again. */
  onSilence: (reason: string | undefined) => void = () => undefined;

  /** @param fd A connected stream socket; this object owns it from here on. */
  constructor(sys: ConnectionSys, fd: number) {
    this.#sys = sys;
    this.#queue = new SendQueue(sys, fd, (reason) => this.#end(reason));
    this.#watch = new SilenceWatch({
      isOpen: () => this.#open,
      owesAnswer: () => this.#waiting.size > this.#abandoned,
      isSilent: () => this.#silence !== undefined,
      askHello: () => void this.#ask(messageTypes.hello, helloPayload(), [], {}).catch(() => undefined),
      suspect: () => this.onSuspect(),
      silent: () => this.giveUp("it does not answer"),
    });
    sys.setNonBlocking(fd, true);
    this.#socket = connect({ fd, allowHalfOpen: true } as unknown as Parameters<typeof connect>[0] & { port: number });
    this.#socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on("error", () => undefined);
    this.#socket.on("end", () => this.#end("it closed the connection"));
    this.#socket.on("close", () => this.#end("the connection was closed"));
    this.peer = this.#hello();
    this.peer.catch(() => undefined);
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Why the supervisor is silent; undefined when it is not. */
  get silence(): string | undefined {
    return this.#silence;
  }

  /** Resolves with the reason when either side has closed it. */
  get closed(): Promise<string> {
    return this.#closed.promise;
  }

  /** The first message on every connection. One that calls it an unknown request is older than the hello. */
  async #hello(): Promise<Peer> {
    try {
      return parseHello(await this.#ask(messageTypes.hello, helloPayload(), [], {}));
    } catch (error) {
      const ENOSYS = 38;
      if (error instanceof SupervisorFailure && error.errno === ENOSYS) return firstPeer;
      throw error;
    }
  }

  /**
   * Descriptors are sent as copies: the caller closes its own when this has returned, not when it has settled.
   * Rejects with SupervisorFailure for a refusal, "unavailable" when the supervisor does not answer or the connection ends, "timeout" at the
   * deadline, and with the signal's reason.
   */
  request(
    type: number,
    payload: Uint8Array,
    fds: readonly number[] = [],
    options: RequestOptions = {},
  ): Promise<Uint8Array> {
    if (!this.#open) return Promise.reject(unavailable("the connection to it has ended"));
    if (options.signal?.aborted === true) return Promise.reject(options.signal.reason);
    if (this.#silence === undefined) return this.#ask(type, payload, fds, options);
    return this.#askWhenHeard(type, payload, fds, options);
  }

  /** Asks for a sign of life: where none comes, `onSuspect` and silence follow. */
  probe(): void {
    this.#watch.probe();
  }

  async #askWhenHeard(
    type: number,
    payload: Uint8Array,
    fds: readonly number[],
    options: RequestOptions,
  ): Promise<Uint8Array> {
    const copies = copiesOf(this.#sys, fds);
    try {
      this.#heard ??= deferred();
      await endWithin(this.#heard.promise, silentPatienceMs);
      options.signal?.throwIfAborted();
      if (this.#silence !== undefined) throw unavailable(this.#silence);
      if (!this.#open) throw unavailable("the connection to it has ended");
      return await this.#ask(type, payload, copies, options);
    } finally {
      for (const fd of copies) this.#sys.close(fd);
    }
  }

  #ask(type: number, payload: Uint8Array, fds: readonly number[], options: RequestOptions): Promise<Uint8Array> {
    const { deadlineMs, signal, late } = options;
    const id = this.#nextId++;
    const answer = deferred<Uint8Array>();
    const giveUp = (error: unknown): void => this.#abandon(id, error);
    const timer =
      deadlineMs === undefined
        ? undefined
        : setTimeout(
            () =>
              giveUp(
                new EngineError("timeout", `the container's supervisor did not do it within ${deadlineMs / 1000} s`),
              ),
            deadlineMs,
          );
    const onAbort = (): void => giveUp(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#waiting.set(id, {
      answer,
      late,
      abandoned: false,
      cleanUp() {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      },
    });
    this.#watch.lookSoon();
    try {
      this.#queue.send(id, frame(type, id, payload), fds);
    } catch (error) {
      this.#take(id);
      const closed = isSysError(error, "EPIPE", "ECONNRESET");
      answer.reject(closed ? unavailable("it closed the connection") : error);
      if (closed) this.#end("it closed the connection");
    }
    return answer.promise;
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(id);
    waiting.cleanUp();
    if (waiting.abandoned) this.#abandoned--;
    return waiting;
  }

  /** Nobody waits for this answer any more; one that still comes goes to `late`. */
  #abandon(id: number, error: unknown): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined || waiting.abandoned) return;
    waiting.cleanUp();
    waiting.answer.reject(error);
    if (this.#queue.drop(id)) {
      this.#waiting.delete(id);
      return;
    }
    waiting.abandoned = true;
    this.#abandoned++;
    for (const [old, one] of this.#waiting) {
      if (this.#abandoned <= abandonedLimit) break;
      if (one.abandoned) this.#take(old);
    }
  }

  /** Ends the waiting of every request: the supervisor cannot answer now. It may later, so the connection stays, where it is in step. */
  giveUp(reason: string): void {
    if (!this.#open || this.#silence !== undefined) return;
    this.#silence = reason;
    for (const id of this.#waiting.keys()) this.#abandon(id, unavailable(reason));
    this.#queue.dropAll();
    this.onSilence(reason);
    if (!this.#queue.isEmpty) this.#end(`a request was sent in part: ${reason}`);
  }

  /** Says that nothing more will be asked. A supervisor without a launched container then ends, and with it this connection. */
  finish(): void {
    this.#socket.end();
  }

  close(): void {
    this.#end("this daemon closed the connection");
  }

  /**
   * Messages that answer nothing. Those that came before somebody listened are told first: the exit of a short program comes in one piece with
   * the answer to its launch.
   */
  set onMessage(listener: (message: Message) => void) {
    this.#onMessage = listener;
    for (const message of this.#unheard.splice(0)) listener(message);
  }

  #tell(message: Message): void {
    if (this.#onMessage !== undefined) this.#onMessage(message);
    else if (this.#unheard.length < unheardLimit) this.#unheard.push(message);
  }

  #receive(chunk: Uint8Array): void {
    this.#watch.heard();
    if (this.#silence !== undefined) {
      this.#silence = undefined;
      this.#heard?.resolve();
      this.#heard = undefined;
      this.onSilence(undefined);
    }
    try {
      for (const message of this.#parser.push(chunk)) {
        const waiting = message.id === 0 ? undefined : this.#waiting.get(message.id);
        if (waiting === undefined) {
          this.#tell(message);
          continue;
        }
        // Read while its request still waits: where it is not understood, the end of the connection ends that.
        const failure = message.type === messageTypes.error ? parseFailure(message.payload) : undefined;
        this.#take(message.id);
        if (failure !== undefined) waiting.answer.reject(failure);
        else if (waiting.abandoned) waiting.late?.(message.payload);
        else waiting.answer.resolve(message.payload);
      }
    } catch (error) {
      this.misunderstood(error);
    }
  }

  /** What came over it makes no sense: nothing that follows can be trusted to. */
  misunderstood(error: unknown): void {
    this.#end(`what it says is not understood: ${messageOf(error)}`);
  }

  #end(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#socket.destroy();
    for (const id of this.#waiting.keys()) this.#take(id)?.answer.reject(unavailable(reason));
    this.#queue.close();
    this.#heard?.resolve();
    this.#closed.resolve(reason);
  }
}

function unavailable(reason: string): EngineError {
  return new EngineError("unavailable", `the container's supervisor cannot be asked: ${reason}`);
}
