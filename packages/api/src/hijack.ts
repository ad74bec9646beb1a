/** A connection taken over: the client's socket and the process's stream, joined in both directions, each side half-closed on its own. */
import { endSocket, writeTo } from "@fathom/http";
import { connect, type IpcNetConnectOpts, type Socket } from "node:net";
import type { AttachResult, StreamAttachment } from "./contract.ts";
import { DetachFilter } from "./detach-filter.ts";
import type { ApiRequest } from "./request.ts";

/** A client that does not close after the last output is closed by us. */
const lingerMs = 5_000;

/** Whether the answer says that the bytes are frames: from API 1.42 on, and only after an Upgrade, as in Docker. */
export function streamType(version: number, tty: boolean): string {
  return !tty && version >= 42 ? "application/vnd.docker.multiplexed-stream" : "application/vnd.docker.raw-stream";
}

/** Takes the connection over and sends the head that the client expects. */
export function takeOver(request: ApiRequest, tty: boolean): HijackedConnection {
  const upgrade = request.exchange.head.headers.has("upgrade");
  const head = upgrade
    ? `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${streamType(request.version, tty)}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`
    : "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
  const socket = request.response.hijack(head);
  const { first, ended } = request.exchange.takeInput();
  return { socket, first, ended };
}

export interface HijackedConnection {
  readonly socket: Socket;
  /** Bytes of the client's that came early. */
  readonly first: Buffer;
  /** They were its last. */
  readonly ended: boolean;
}

/** Attach: old output, then the live stream when there is one. Resolves when the connection is done with. */
export async function serveAttach(request: ApiRequest, result: AttachResult, stdin: boolean): Promise<void> {
  const connection = takeOver(request, result.tty);
  const { socket } = connection;
  try {
    if (result.logs !== undefined)
      for await (const bytes of result.logs) {
        const wait = writeTo(socket, bytes);
        if (wait !== undefined) await wait;
      }
    const attachment = await result.stream;
    if (attachment !== undefined) return await join(connection, attachment, stdin, request.exchange.signal);
  } catch (error) {
    if (!request.exchange.signal.aborted) request.logger.debug("attach ended early", { error });
    // The stream may still come: its descriptor must not be lost.
    void result.stream?.then(closeAttachment, () => undefined);
  }
  finish(socket);
}

function closeAttachment(attachment: StreamAttachment | undefined): void {
  if (attachment !== undefined) adopt(attachment.fd).destroy();
}

/** A connected descriptor as a socket; it is the socket's to close. The runtime takes `fd` here, which its types do not know. */
export function adopt(fd: number): Socket {
  const options: { fd: number; allowHalfOpen: boolean } = { fd, allowHalfOpen: true };
  return connect(options as unknown as IpcNetConnectOpts);
}

/**
 * Copies both ways until the process's side ends. Each direction reads only as fast as the other side takes it. `stdin` false drops
 * what the client sends. `signal` ends both.
 */
export function join(
  connection: HijackedConnection,
  attachment: StreamAttachment,
  stdin: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { socket: client } = connection;
  const process = adopt(attachment.fd);
  const filter = new DetachFilter(attachment.detachKeys);
  return new Promise((resolve) => {
    let done = false;
    const finished = (): void => {
      if (done) return;
      done = true;
      signal.removeEventListener("abort", finished);
      process.destroy();
      finish(client);
      resolve();
    };

    if (signal.aborted) return finished();
    signal.addEventListener("abort", finished);

    // Output
    process.on("data", (data: Buffer) => {
      if (!client.write(data)) process.pause();
    });
    client.on("drain", () => process.resume());
    process.on("end", finished);
    process.on("close", finished);
    process.on("error", finished);

    // Input
    const give = (data: Uint8Array): void => {
      if (!stdin || done || !process.writable) return;
      const { forward, detached } = filter.push(data);
      if (forward.length > 0 && !process.write(forward)) client.pause();
      if (detached) {
        attachment.detached();
        finished();
      }
    };
    const noMoreInput = (): void => {
      if (!stdin || done || !process.writable) return;
      const held = filter.flush();
      if (held.length > 0) process.write(held);
      process.end();
    };
    process.on("drain", () => client.resume());
    client.on("data", give);
    client.on("end", noMoreInput);
    client.on("close", finished);
    if (connection.first.length > 0) give(connection.first);
    if (connection.ended) noMoreInput();
    client.resume();
  });
}

/**
 * No more output: the client sees the end and closes. Its input is read and dropped meanwhile, since closing a socket with unread
 * input shows as an error on the other side.
 */
function finish(client: Socket): void {
  if (client.destroyed) return;
  client.removeAllListeners("data");
  client.on("data", () => undefined);
  client.resume();
  endSocket(client, lingerMs);
}
