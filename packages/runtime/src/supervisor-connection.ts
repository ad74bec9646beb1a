/** One connection to a supervisor: requests with answers, and what the supervisor says by itself. */
import { connect, type Socket } from "node:net";
import { deferred, EngineError, type Deferred } from "@fathom/base";
import type { Sys } from "@fathom/sys";
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
} from "./supervisor-protocol.ts";

export type ConnectionSys = Pick<Sys, "sendMessage" | "setNonBlocking" | "close">;

export class SupervisorConnection {
  readonly #sys: ConnectionSys;
  readonly #fd: number;
  readonly #socket: Socket;
  readonly #parser = new MessageParser();
  readonly #waiting = new Map<number, Deferred<Uint8Array>>();
  readonly #closed = deferred<void>();
  #nextId = 1;
  #open = true;
  /** What the supervisor speaks. Requests need not wait for it: answers come in the order of the questions. */
  readonly peer: Promise<Peer>;
  /** Messages that answer nothing. Set before the first message can come, that is, in the same turn as the constructor. */
  onMessage: (message: Message) => void = () => undefined;

  /** @param fd A connected stream socket; this object owns it from here on. */
  constructor(sys: ConnectionSys, fd: number) {
    this.#sys = sys;
    this.#fd = fd;
    sys.setNonBlocking(fd, true);
    this.#socket = connect({ fd, allowHalfOpen: true } as unknown as Parameters<typeof connect>[0] & { port: number });
    this.#socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on("error", () => undefined);
    this.#socket.on("end", () => this.#end());
    this.#socket.on("close", () => this.#end());
    this.peer = this.#hello();
    this.peer.catch(() => undefined);
  }

  /** The first message on every connection. One that calls it an unknown request is older than the hello. */
  async #hello(): Promise<Peer> {
    try {
      return parseHello(await this.request(messageTypes.hello, helloPayload()));
    } catch (error) {
      const ENOSYS = 38;
      if (error instanceof SupervisorFailure && error.errno === ENOSYS) return firstPeer;
      throw error;
    }
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Resolves when either side has closed it. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Descriptors are sent as copies: the caller closes its own. Rejects with SupervisorFailure, or "unavailable" when the supervisor ends. */
  request(type: number, payload: Uint8Array, fds: readonly number[] = []): Promise<Uint8Array> {
    if (!this.#open) return Promise.reject(gone());
    const id = this.#nextId++;
    const answer = deferred<Uint8Array>();
    this.#waiting.set(id, answer);
    try {
      this.#sys.sendMessage(this.#fd, frame(type, id, payload), fds);
    } catch (error) {
      this.#waiting.delete(id);
      answer.reject(gone(error));
    }
    return answer.promise;
  }

  /** Says that nothing more will be asked. A supervisor without a launched container then ends, and with it this connection. */
  finish(): void {
    this.#socket.end();
  }

  close(): void {
    this.#end();
  }

  #receive(chunk: Uint8Array): void {
    try {
      for (const message of this.#parser.push(chunk)) {
        const waiting = message.id === 0 ? undefined : this.#waiting.get(message.id);
        if (waiting === undefined) {
          this.onMessage(message);
          continue;
        }
        this.#waiting.delete(message.id);
        if (message.type === messageTypes.error) waiting.reject(parseFailure(message.payload));
        else waiting.resolve(message.payload);
      }
    } catch {
      this.#end();
    }
  }

  #end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#socket.destroy();
    for (const waiting of this.#waiting.values()) waiting.reject(gone());
    this.#waiting.clear();
    this.#closed.resolve();
  }
}

function gone(cause?: unknown): EngineError {
  return new EngineError("unavailable", "the container's supervisor has ended", { cause });
}
