/** What a socket receives, read at the reader's speed: above a limit the socket is paused, and its sender waits. */
import type { Socket } from "node:net";
import type { ByteSource } from "../message/body.ts";
import { InputBuffer } from "../message/input-buffer.ts";

export interface SocketEvents {
  /** Bytes arrived. True: the callee has handled them, and they do not count for the limit. */
  readonly bytes?: () => boolean;
  /** The other side sends no more. */
  readonly end?: () => void;
  /** The connection is closed, in both directions. */
  readonly close?: () => void;
  /** Why it broke; "close" follows. */
  readonly error?: (reason: Error) => void;
}

export class SocketReader implements ByteSource {
  readonly input = new InputBuffer();
  readonly #socket: Socket;
  readonly #limit: number;
  readonly #events: SocketEvents;
  #ended = false;
  #paused = false;
  #failure: Error | undefined;
  #wakeReader: (() => void) | undefined;

  /** @param limit Bytes that are held while nobody reads. */
  constructor(socket: Socket, limit: number, events: SocketEvents = {}) {
    this.#socket = socket;
    this.#limit = limit;
    this.#events = events;
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("close", this.#onClose);
    socket.on("error", this.#onError);
  }

  /** Nothing more arrives after the bytes in `input`. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The argument of `interrupt`. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** @throws `failure` */
  async read(): Promise<Buffer | undefined> {
    while (this.input.length === 0) if (!(await this.more())) return undefined;
    const bytes = this.input.take();
    this.resume();
    return bytes;
  }

  /** Waits for bytes after those in `input`; false at the end of the connection. @throws `failure` */
  async more(): Promise<boolean> {
    const before = this.input.length;
    while (this.input.length === before) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return false;
      this.resume();
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
    return true;
  }

  unread(rest: Buffer): void {
    this.input.unread(rest);
  }

  interrupt(reason: Error): void {
    this.#failure ??= reason;
    this.#wake();
  }

  /** Resumes the socket when it was paused. */
  resume(): void {
    if (!this.#paused || this.#ended) return;
    this.#paused = false;
    this.#socket.resume();
  }

  /** No more bytes go to `input`; the code that takes over the socket listens to it itself. */
  release(): void {
    this.#socket.off("data", this.#onData);
    this.#socket.off("end", this.#onEnd);
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }

  readonly #onData = (data: Buffer): void => {
    this.input.append(data);
    if (this.#wakeReader !== undefined) return this.#wake();
    if (this.#events.bytes?.() === true || this.input.length < this.#limit) return;
    this.#paused = true;
    this.#socket.pause();
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#wake();
    this.#events.end?.();
  };

  readonly #onClose = (): void => {
    this.#ended = true;
    this.#wake();
    this.#events.close?.();
  };

  readonly #onError = (error: Error): void => {
    this.#ended = true;
    this.#events.error?.(error);
    this.#wake();
  };
}
