/**
 * Messages that are sent into a socket. A message is sent completely or not at all. Messages for which the socket has no room wait here, up to
 * a limit. If the rest of a message that was sent in part cannot be sent, `onFailure` is called, and the connection must end.
 */
import { EngineError } from "@fathom/base";
import type { Sys } from "@fathom/sys";

export type QueueSys = Pick<Sys, "sendMessage" | "close" | "dup">;

/** Messages that wait for room in the socket. */
const queuedLimit = 128;
const queuedBytesLimit = 8 << 20;
const longestFlushMs = 50;

interface Queued {
  readonly id: number;
  /** Copies, closed when they are sent or dropped. */
  readonly fds: readonly number[];
  rest: Uint8Array;
  begun: boolean;
}

export class SendQueue {
  readonly #sys: QueueSys;
  readonly #fd: number;
  readonly #onFailure: (error: unknown) => void;
  readonly #queue: Queued[] = [];
  #queuedBytes = 0;
  #flushing = false;
  #closed = false;

  constructor(sys: QueueSys, fd: number, onFailure: (error: unknown) => void) {
    this.#sys = sys;
    this.#fd = fd;
    this.#onFailure = onFailure;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  /** @throws when nothing of the message was sent and nothing of it will be: unavailable when too much waits already, SysError */
  send(id: number, bytes: Uint8Array, fds: readonly number[]): void {
    let sent = 0;
    if (this.isEmpty) {
      sent = Math.max(0, this.#sys.sendMessage(this.#fd, bytes, fds));
      if (sent === bytes.length) return;
    }
    if (sent === 0 && (this.#queue.length >= queuedLimit || this.#queuedBytes + bytes.length > queuedBytesLimit))
      throw new EngineError(
        "unavailable",
        `the container's supervisor cannot be asked: it takes no requests: ${this.#queue.length} are waiting`,
      );
    this.#queue.push({
      id,
      fds: sent > 0 ? [] : copiesOf(this.#sys, fds),
      rest: sent > 0 ? bytes.subarray(sent) : bytes,
      begun: sent > 0,
    });
    this.#queuedBytes += bytes.length - sent;
    this.#flushLater(1);
  }

  /** Removes a message. False when it, or a part of it, has been sent. */
  drop(id: number): boolean {
    return this.#drop((queued) => queued.id === id) > 0;
  }

  /** Removes all messages of which nothing was sent yet. */
  dropAll(): void {
    this.#drop(() => true);
  }

  close(): void {
    this.#closed = true;
    for (const { fds, begun } of this.#queue.splice(0)) if (!begun) for (const fd of fds) this.#sys.close(fd);
  }

  #drop(matches: (queued: Queued) => boolean): number {
    const dropped = this.#queue.filter((one) => !one.begun && matches(one));
    for (const queued of dropped) {
      this.#queue.splice(this.#queue.indexOf(queued), 1);
      this.#queuedBytes -= queued.rest.length;
      for (const fd of queued.fds) this.#sys.close(fd);
    }
    return dropped.length;
  }

  #flushLater(delayMs: number): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setTimeout(() => {
      this.#flushing = false;
      if (!this.#closed && !this.#flush()) this.#flushLater(Math.min(delayMs * 2, longestFlushMs));
    }, delayMs);
  }

  /** True when nothing waits any more. */
  #flush(): boolean {
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      let sent: number;
      try {
        sent = this.#sys.sendMessage(this.#fd, first.rest, first.fds);
      } catch (error) {
        this.#onFailure(error);
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
}

/** Copies of descriptors, which the caller closes. */
export function copiesOf(sys: Pick<Sys, "dup" | "close">, fds: readonly number[]): number[] {
  const copies: number[] = [];
  try {
    for (const fd of fds) copies.push(sys.dup(fd));
  } catch (error) {
    for (const fd of copies) sys.close(fd);
    throw error;
  }
  return copies;
}
