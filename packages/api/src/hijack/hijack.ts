/** How Docker handles a connection that is taken over (attach, exec): its answers, old output first, the detach keys. */
import type { Socket } from "node:net";
import { adopt, descriptorOf, endUpgraded, joinSockets, writeTo, type InputFilter, type Upgraded } from "@fathom/http";
import type { AttachResult, StreamAttachment } from "@fathom/engine";
import { FrameSplitter, frameHeader } from "@fathom/spec";
import type { Sys } from "@fathom/sys";
import { DetachFilter } from "./detach-filter.ts";
import type { ApiRequest } from "../request/request.ts";

/** Whether the answer says that the bytes are frames: from API 1.42 on, and only after an Upgrade, as in Docker. */
export function streamType(version: number, tty: boolean): string {
  return !tty && version >= 42 ? "application/vnd.docker.multiplexed-stream" : "application/vnd.docker.raw-stream";
}

/** Takes over the connection and sends the head that the client expects. */
export function takeOver(request: ApiRequest, tty: boolean): Upgraded {
  const upgrade = request.exchange.head.headers.has("upgrade");
  const head = upgrade
    ? `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${streamType(request.version, tty)}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`
    : "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
  const socket = request.response.hijack(head);
  const { first, ended } = request.exchange.takeInput();
  return { socket, first, ended };
}

export type StreamSys = Pick<Sys, "unsentBytes">;

/** A client that reads nothing for so long gets the output all the same. */
const readHeadMs = 1_000;

/**
 * Waits until the client has read the head. docker-py reads the head through a buffer, and then the stream from the socket itself: output that
 * the buffer has read together with the head is lost. A process starts in a few milliseconds, and on a busy machine a client needs longer to
 * read. Only a unix socket shows this; at others, and without `sys`, it does not wait. It never fails.
 */
export async function headWasRead(socket: Socket, sys: StreamSys | undefined, signal: AbortSignal): Promise<void> {
  // Over TCP, only the receipt by the client's kernel could be seen, which tells nothing and comes late.
  if (sys === undefined || socket.remoteAddress !== undefined) return;
  const end = performance.now() + readHeadMs;
  while (!signal.aborted && performance.now() < end) {
    try {
      const fd = descriptorOf(socket);
      if (fd === undefined || sys.unsentBytes(fd) === 0) return;
    } catch {
      // The socket was closed meanwhile: the join sees it.
      return;
    }
    await Bun.sleep(1);
  }
}

/** Attach: old output, then the live stream if there is one. Resolves when the connection is finished. */
export async function serveAttach(
  request: ApiRequest,
  result: AttachResult,
  stdin: boolean,
  sys?: StreamSys,
): Promise<void> {
  const connection = takeOver(request, result.tty);
  const { socket } = connection;
  const headRead = headWasRead(socket, sys, request.exchange.signal);
  try {
    if (result.logs !== undefined) {
      await headRead;
      for await (const bytes of result.logs) {
        const wait = writeTo(socket, bytes);
        if (wait !== undefined) await wait;
      }
    }
    const attachment = await result.stream;
    await headRead;
    if (attachment !== undefined) return await join(connection, attachment, stdin, request.exchange.signal);
  } catch (error) {
    if (!request.exchange.signal.aborted) request.logger.debug("attach ended early", { error });
    // The stream may still come: its descriptor must be closed then.
    void result.stream?.then(closeAttachment, () => undefined);
  }
  endUpgraded(socket);
}

function closeAttachment(attachment: StreamAttachment | undefined): void {
  if (attachment !== undefined) adopt(attachment.fd).destroy();
}

/**
 * Copies in both directions until the process's side ends. With `stdin` false, the client's bytes are dropped. `signal` ends both directions.
 * The client gets frames unless `raw`, whether the process has a terminal or not.
 */
export function join(
  connection: Upgraded,
  attachment: StreamAttachment,
  stdin: boolean,
  signal: AbortSignal,
  raw = attachment.tty,
): Promise<void> {
  const input = stdin ? detachFilter(attachment) : undefined;
  return joinSockets(connection, adopt(attachment.fd), input, signal, inForm(attachment, raw));
}

/** undefined when the client wants the bytes as they are. */
function inForm({ tty }: StreamAttachment, raw: boolean): ((data: Buffer) => Uint8Array) | undefined {
  if (tty === raw) return undefined;
  if (tty) return (data) => Buffer.concat([frameHeader(1, data.length), data]);
  const frames = new FrameSplitter();
  return (data) => Buffer.concat([...frames.push(data)].map((frame) => frame.data));
}

function detachFilter(attachment: StreamAttachment): InputFilter {
  const keys = new DetachFilter(attachment.detachKeys);
  return {
    push(data) {
      const { forward, detached } = keys.push(data);
      return { forward, last: detached };
    },
    finished: () => attachment.detached(),
    flush: () => keys.flush(),
  };
}
