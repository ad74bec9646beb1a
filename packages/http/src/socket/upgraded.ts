/** A connection that no longer uses HTTP (attach, exec): two sockets joined in both directions; each side can be half-closed alone. */
import { connect, type IpcNetConnectOpts, type Socket } from "node:net";
import { endSocket } from "./socket-output.ts";

/** A peer that does not close after the last output is closed by us. */
const lingerMs = 5_000;

export interface Upgraded {
  readonly socket: Socket;
  /** The peer's bytes that arrived before the connection was taken over. */
  readonly first: Buffer;
  /** They were its last. */
  readonly ended: boolean;
}

/** Checks what the peer sends before it is passed on. */
export interface InputFilter {
  /** `last`: bytes after it are dropped, and the join ends when `target` has accepted those before it. */
  push(data: Uint8Array): { readonly forward: Uint8Array; readonly last: boolean };
  /** Called when the bytes that `push` marked as the last were passed on; then the join ends. */
  finished(): void;
  /** The held-back bytes, at the end of the input. */
  flush(): Uint8Array;
}

/** A connected descriptor as a socket; the socket closes it. The runtime accepts `fd` here, which its types do not know. */
export function adopt(fd: number): Socket {
  const options: { fd: number; allowHalfOpen: boolean } = { fd, allowHalfOpen: true };
  return connect(options as unknown as IpcNetConnectOpts);
}

/** The descriptor of an open socket. The runtime knows it, and its types do not. undefined for TLS and for a closed socket. */
export function descriptorOf(socket: Socket): number | undefined {
  const handle: unknown = socket.destroyed ? undefined : Reflect.get(socket, "_handle");
  const fd: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "fd") : undefined;
  return typeof fd === "number" && fd >= 0 ? fd : undefined;
}

/**
 * Copies in both directions until `target` ends its side, then ends both. Each direction reads only as fast as the other side accepts. Without
 * `input`, the peer's bytes are dropped. `signal` ends both. `output` changes what the target sends.
 */
export function joinSockets(
  upgraded: Upgraded,
  target: Socket,
  input: InputFilter | undefined,
  signal: AbortSignal,
  output: (data: Buffer) => Uint8Array = (data) => data,
): Promise<void> {
  const { socket: peer } = upgraded;
  return new Promise((resolve) => {
    let done = false;
    const finished = (): void => {
      if (done) return;
      done = true;
      signal.removeEventListener("abort", finished);
      target.destroy();
      endUpgraded(peer);
      resolve();
    };

    if (signal.aborted) return finished();
    signal.addEventListener("abort", finished);

    // Output
    target.on("data", (data: Buffer) => {
      if (!peer.write(output(data))) target.pause();
    });
    peer.on("drain", () => target.resume());
    target.on("end", finished);
    target.on("close", finished);
    target.on("error", finished);

    // Input
    let lastCame = false;
    const give = (data: Uint8Array): void => {
      if (input === undefined || done || lastCame || !target.writable) return;
      const { forward, last } = input.push(data);
      if (!last) {
        if (forward.length > 0 && !target.write(forward)) peer.pause();
        return;
      }
      lastCame = true;
      const passedOn = (): void => {
        if (done) return;
        input.finished();
        finished();
      };
      if (forward.length === 0 && target.writableLength === 0) passedOn();
      else target.write(forward, passedOn);
    };
    const noMoreInput = (): void => {
      if (input === undefined || done || lastCame || !target.writable) return;
      const held = input.flush();
      if (held.length > 0) target.write(held);
      target.end();
    };
    target.on("drain", () => peer.resume());
    peer.on("data", give);
    peer.on("end", noMoreInput);
    peer.on("close", finished);
    if (upgraded.first.length > 0) give(upgraded.first);
    // The peer can end its side while the caller prepares the target: that end is not reported again.
    if (upgraded.ended || peer.readableEnded) noMoreInput();
    peer.resume();
  });
}

/**
 * No more output: the peer sees the end and closes. Its input is read and dropped meanwhile, because closing a socket with unread input shows
 * as an error on the other side.
 */
export function endUpgraded(peer: Socket): void {
  if (peer.destroyed) return;
  peer.removeAllListeners("data");
  peer.on("data", () => undefined);
  peer.resume();
  endSocket(peer, lingerMs);
}
