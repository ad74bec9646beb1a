/** Writing to a socket: with backpressure, and to its end. */
import { EngineError } from "@fathom/base";
import type { Socket } from "node:net";

/**
 * Ends the connection after what was written, which the client may read as slowly as it likes. Then it has `lingerMs` to close its side too: a
 * socket that is closed before shows as an error there when it still sends.
 */
export function endSocket(socket: Socket, lingerMs: number): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  socket.once("close", () => clearTimeout(timer));
  socket.end(() => {
    if (!socket.destroyed) timer = setTimeout(() => socket.destroy(), lingerMs);
  });
}

/** Writes with backpressure. undefined when the socket took it. @throws aborted when the client is gone */
export function writeTo(socket: Socket, data: string | Uint8Array): Promise<void> | undefined {
  if (socket.destroyed || !socket.writable) return Promise.reject(new EngineError("aborted", "the client went away"));
  if (socket.write(data)) return undefined;
  return new Promise((resolve, reject) => {
    const done = (): void => {
      socket.off("drain", done);
      socket.off("close", closed);
      resolve();
    };
    const closed = (): void => {
      socket.off("drain", done);
      reject(new EngineError("aborted", "the client went away"));
    };
    socket.once("drain", done);
    socket.once("close", closed);
  });
}
