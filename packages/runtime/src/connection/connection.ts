/**
 * One connection to a supervisor: requests with answers, and messages that the supervisor sends by itself.
 *
 * Every request ends: with its answer, at its own deadline or signal, when the connection ends, or when the supervisor is silent
 * (`silence-watch.ts`). Silent does not mean dead: the connection stays, and any message over it ends the silence.
 *
 * The order of the stream is always kept: a message is sent completely, or the connection ends (`send-queue.ts`).
 */
import { connect, type Socket } from "node:net";
import { deferred, EngineError, messageOf, type Deferred, settlesWithin } from "@fathom/base";
import { isSysError, type Sys } from "@fathom/sys";
import { frame, helloPayload, MessageParser, messageTypes, parseFailure, type Message } from "./protocol.ts";
import { OpenRequests, type RequestOptions } from "./open-requests.ts";
import { copiesOf, SendQueue, type QueueSys } from "./send-queue.ts";
import { SilenceWatch } from "./silence-watch.ts";

export type ConnectionSys = QueueSys & Pick<Sys, "setNonBlocking">;

/** How long a request to a silent supervisor waits until the supervisor sends something again. */
const silentPatienceMs = 1000;
/** The supervisor has closed the connection: reading its last messages may take this long. */
const readRestMs = 1000;
/** More exit messages than a supervisor sends before a listener is added. */
const unheardLimit = 8192;

export class SupervisorConnection {
  readonly #sys: ConnectionSys;
  readonly #socket: Socket;
  readonly #parser = new MessageParser();
  readonly #queue: SendQueue;
  readonly #requests = new OpenRequests((id) => this.#queue.drop(id));
  readonly #watch: SilenceWatch;
  readonly #closed = deferred<string>();
  #nextId = 1;
  #open = true;
  /** Why it is silent. */
  #silence: string | undefined;
  #heard: Deferred<void> | undefined;
  #onMessage: ((message: Message) => void) | undefined;
  readonly #unheard: Message[] = [];
  /** Called at every check while the supervisor owes an answer and does not even answer hello. Code that knows that it cannot answer calls `giveUp`. */
  onSuspect: () => void = () => undefined;
  /** Called with a reason when it becomes silent, and with undefined when it sends something again. */
  onSilence: (reason: string | undefined) => void = () => undefined;

  /** @param fd A connected stream socket; this object owns it from here on. */
  constructor(sys: ConnectionSys, fd: number) {
    this.#sys = sys;
    this.#queue = new SendQueue(sys, fd, (error) =>
      isClosed(error) ? this.#endWhenRead() : this.#end(`sending failed: ${messageOf(error)}`),
    );
    this.#watch = new SilenceWatch({
      isOpen: () => this.#open,
      owesAnswer: () => this.#requests.areAwaited,
      isSilent: () => this.#silence !== undefined,
      askHello: () => this.#sayHello(),
      suspect: () => this.onSuspect(),
      silent: () => this.giveUp("it does not answer"),
    });
    sys.setNonBlocking(fd, true);
    this.#socket = connect({ fd, allowHalfOpen: true } as unknown as Parameters<typeof connect>[0] & { port: number });
    this.#socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on("error", () => undefined);
    this.#socket.on("end", () => this.#end("it closed the connection"));
    this.#socket.on("close", () => this.#end("the connection was closed"));
    // The first message on every connection. A supervisor that answers "unknown request" is older than hello.
    this.#sayHello();
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Resolves with the reason when either side has closed it. */
  get closed(): Promise<string> {
    return this.#closed.promise;
  }

  /** No request needs what the supervisor answers; the answer itself is a sign of life. */
  #sayHello(): void {
    this.#ask(messageTypes.hello, helloPayload(), [], {}).catch(() => undefined);
  }

  /**
   * Descriptors are sent as copies: the caller closes its own when this call has returned; it need not wait for the promise.
   * Rejects with SupervisorFailure when the supervisor rejects the request, "unavailable" when it does not answer or the connection ends,
   * "timeout" at the deadline, and with the signal's reason.
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

  /** Asks for a sign of life. When none comes, `onSuspect` is called and then the supervisor counts as silent. */
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
      await settlesWithin(this.#heard.promise, silentPatienceMs);
      options.signal?.throwIfAborted();
      if (this.#silence !== undefined) throw unavailable(this.#silence);
      if (!this.#open) throw unavailable("the connection to it has ended");
      return await this.#ask(type, payload, copies, options);
    } finally {
      for (const fd of copies) this.#sys.close(fd);
    }
  }

  #ask(type: number, payload: Uint8Array, fds: readonly number[], options: RequestOptions): Promise<Uint8Array> {
    const id = this.#nextId++;
    const answer = this.#requests.add(id, options);
    this.#watch.lookSoon();
    try {
      this.#queue.send(id, frame(type, id, payload), fds);
    } catch (error) {
      const closed = isClosed(error);
      this.#requests.reject(id, closed ? unavailable("it closed the connection") : error);
      if (closed) this.#endWhenRead();
    }
    return answer;
  }

  /**
   * Ends all waiting requests, because the supervisor cannot answer now. It may answer later, so the connection stays, unless a message was
   * sent only in part.
   */
  giveUp(reason: string): void {
    if (!this.#open || this.#silence !== undefined) return;
    this.#silence = reason;
    this.#requests.giveUpAll(unavailable(reason));
    this.#queue.dropAll();
    this.onSilence(reason);
    if (!this.#queue.isEmpty) this.#end(`a request was sent in part: ${reason}`);
  }

  /** Tells the supervisor that no more requests will come. A supervisor without a launched container then ends, and with it this connection. */
  finish(): void {
    this.#socket.end();
  }

  close(): void {
    this.#end("this daemon closed the connection");
  }

  /**
   * Messages that answer no request. Those that arrived before there was a listener are delivered first: the exit of a short program arrives
   * together with the answer to its launch.
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
        if (message.id === 0 || !this.#requests.has(message.id)) {
          this.#tell(message);
          continue;
        }
        // Read while its request still waits: if it cannot be understood, the end of the connection ends the request.
        const failure = message.type === messageTypes.error ? parseFailure(message.payload) : undefined;
        if (failure !== undefined) this.#requests.reject(message.id, failure);
        else this.#requests.answer(message.id, message.payload);
      }
    } catch (error) {
      this.misunderstood(error);
    }
  }

  /**
   * The supervisor has closed the connection. Its last messages, and above all the end of a process, are read first; after them the socket's
   * own end event comes.
   */
  #endWhenRead(): void {
    setTimeout(() => this.#end("it closed the connection"), readRestMs).unref();
  }

  /** A message makes no sense, so nothing after it can be trusted. */
  misunderstood(error: unknown): void {
    this.#end(`its message is not understood: ${messageOf(error)}`);
  }

  #end(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#socket.destroy();
    this.#requests.rejectAll(unavailable(reason));
    this.#queue.close();
    this.#heard?.resolve();
    this.#closed.resolve(reason);
  }
}

/** Whether the other side has closed the connection. */
function isClosed(error: unknown): boolean {
  return isSysError(error, "EPIPE", "ECONNRESET");
}

function unavailable(reason: string): EngineError {
  return new EngineError("unavailable", `the container's supervisor cannot be asked: ${reason}`);
}
