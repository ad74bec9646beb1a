/**
 * One connection to a supervisor: requests with answers, and what the supervisor says by itself.
 *
 * Every request ends: with its answer, at its own deadline or signal, when the connection ends, or when the supervisor has said nothing for
 * `silentMs` although it was asked. A supervisor that is busy with one request (a launch on a slow disk) answers others meanwhile; so one that is
 * quiet is asked for its hello again, and only one that does not answer that is taken for silent. Silent is not dead: the connection stays, and
 * whatever comes over it ends the silence.
 *
 * The stream is never out of step: a message goes out whole or not at all. What the socket has no room for waits in a bounded queue; where the
 * rest of a message that was begun cannot be sent, the connection ends.
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

export type ConnectionSys = Pick<Sys, "sendMessage" | "setNonBlocking" | "close" | "dup">;

/** How often a supervisor that owes an answer is looked at. Counted in looks, so that a daemon that stood still itself accuses nobody. */
const lookMs = 500;
/** Looks without a word before it is asked for its hello, from then on until it is suspected, and until it is silent. */
const askAfterLooks = 2;
const suspectAfterLooks = 2;
const silentAfterLooks = 18;
/** How long a request to a silent supervisor waits for it to speak again. */
const silentPatienceMs = 1000;
/** Messages that wait for room in the socket. */
const queuedLimit = 128;
const queuedBytesLimit = 8 << 20;
/** Requests that were given up while their answer was on its way. */
const abandonedLimit = 256;
const longestFlushMs = 50;
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

interface Queued {
  readonly id: number;
  readonly fds: readonly number[];
  rest: Uint8Array;
  begun: boolean;
}

export class SupervisorConnection {
  readonly #sys: ConnectionSys;
  readonly #fd: number;
  readonly #socket: Socket;
  readonly #parser = new MessageParser();
  readonly #waiting = new Map<number, Waiting>();
  readonly #queue: Queued[] = [];
  readonly #closed = deferred<string>();
  #queuedBytes = 0;
  #flushing = false;
  #abandoned = 0;
  #nextId = 1;
  #open = true;
  #looking = false;
  #quietLooks = 0;
  #asked = false;
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
    this.#fd = fd;
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
    if (!this.#open || this.#asked) return;
    this.#asked = true;
    this.#quietLooks = 0;
    this.#ask(messageTypes.hello, helloPayload(), [], {}).catch(() => undefined);
  }

  async #askWhenHeard(
    type: number,
    payload: Uint8Array,
    fds: readonly number[],
    options: RequestOptions,
  ): Promise<Uint8Array> {
    const copies = this.#copies(fds);
    try {
      this.#heard ??= deferred();
      let timer: ReturnType<typeof setTimeout> | undefined;
      await Promise.race([
        this.#heard.promise,
        new Promise((resolve) => {
          timer = setTimeout(resolve, silentPatienceMs);
        }),
      ]);
      clearTimeout(timer);
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
    this.#lookSoon();
    try {
      this.#send(id, frame(type, id, payload), fds);
    } catch (error) {
      this.#take(id);
      const closed = isSysError(error, "EPIPE", "ECONNRESET");
      answer.reject(closed ? unavailable("it closed the connection") : error);
      if (closed) this.#end("it closed the connection");
    }
    return answer.promise;
  }

  /** @throws when nothing of the message was sent and nothing of it will be */
  #send(id: number, bytes: Uint8Array, fds: readonly number[]): void {
    let sent = 0;
    if (this.#queue.length === 0) {
      sent = Math.max(0, this.#sys.sendMessage(this.#fd, bytes, fds));
      if (sent === bytes.length) return;
    }
    if (sent === 0 && (this.#queue.length >= queuedLimit || this.#queuedBytes + bytes.length > queuedBytesLimit))
      throw unavailable(`it takes no requests: ${this.#queue.length} are waiting`);
    this.#queue.push({
      id,
      fds: sent > 0 ? [] : this.#copies(fds),
      rest: sent > 0 ? bytes.subarray(sent) : bytes,
      begun: sent > 0,
    });
    this.#queuedBytes += bytes.length - sent;
    this.#flushLater(1);
  }

  #copies(fds: readonly number[]): number[] {
    const copies: number[] = [];
    try {
      for (const fd of fds) copies.push(this.#sys.dup(fd));
    } catch (error) {
      for (const fd of copies) this.#sys.close(fd);
      throw error;
    }
    return copies;
  }

  #flushLater(delayMs: number): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setTimeout(() => {
      this.#flushing = false;
      if (this.#open && !this.#flush()) this.#flushLater(Math.min(delayMs * 2, longestFlushMs));
    }, delayMs);
  }

  /** True when nothing waits any more. */
  #flush(): boolean {
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      let sent: number;
      try {
        sent = this.#sys.sendMessage(this.#fd, first.rest, first.fds);
      } catch (error) {
        this.#end(`sending failed: ${messageOf(error)}`);
        return true;
      }
      if (sent <= 0) return false;
      this.#queuedBytes -= sent;
      if (!first.begun) for (const fd of first.fds) this.#sys.close(fd);
      if (sent < first.rest.length) {
        this.#queue[0] = { ...first, fds: [], begun: true, rest: first.rest.subarray(sent) };
        return false;
      }
      this.#queue.shift();
    }
    return true;
  }

  /** Takes what was not begun out of the queue. */
  #dropQueued(drop: (queued: Queued) => boolean): void {
    for (const queued of this.#queue.filter((one) => !one.begun && drop(one))) {
      this.#queue.splice(this.#queue.indexOf(queued), 1);
      this.#queuedBytes -= queued.rest.length;
      for (const fd of queued.fds) this.#sys.close(fd);
    }
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
    const length = this.#queue.length;
    this.#dropQueued((queued) => queued.id === id);
    if (length !== this.#queue.length) {
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
    this.#dropQueued(() => true);
    this.onSilence(reason);
    if (this.#queue.length > 0) this.#end(`a request was sent in part: ${reason}`);
  }

  /** Says that nothing more will be asked. A supervisor without a launched container then ends, and with it this connection. */
  finish(): void {
    this.#socket.end();
  }

  close(): void {
    this.#end("this daemon closed the connection");
  }

  #lookSoon(): void {
    if (this.#looking) return;
    this.#looking = true;
    setTimeout(() => this.#look(), lookMs).unref();
  }

  #look(): void {
    this.#looking = false;
    if (!this.#open) return;
    const owes = this.#asked || this.#waiting.size > this.#abandoned;
    if (!owes && this.#silence === undefined) {
      this.#quietLooks = 0;
      return;
    }
    this.#quietLooks++;
    this.#lookSoon();
    if (!this.#asked) {
      if (this.#quietLooks >= askAfterLooks) this.probe();
      return;
    }
    if (this.#quietLooks >= suspectAfterLooks) this.onSuspect();
    if (this.#quietLooks >= silentAfterLooks) this.giveUp("it does not answer");
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
    this.#quietLooks = 0;
    this.#asked = false;
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
    for (const { fds, begun } of this.#queue.splice(0)) if (!begun) for (const fd of fds) this.#sys.close(fd);
    this.#heard?.resolve();
    this.#closed.resolve(reason);
  }
}

function unavailable(reason: string): EngineError {
  return new EngineError("unavailable", `the container's supervisor cannot be asked: ${reason}`);
}
