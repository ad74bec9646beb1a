/** Writing to a socket: with back-pressure, and closing it after the last byte. */
import { EngineError } from "@fathom/base";
import type { Socket } from "node:net";

/**
 * Ends the connection after the written bytes, which the client may read as slowly as it wants. Then the client has `lingerMs` to close its
 * side too: if the socket closed earlier, a client that still sends would see an error.
 */
export function endSocket(socket: Socket, lingerMs: number): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  socket.once("close", () => clearTimeout(timer));
  socket.end(() => {
    if (!socket.destroyed) timer = setTimeout(() => socket.destroy(), lingerMs);
  });
}

/** Writes with back-pressure. undefined when the socket accepted it. @throws aborted when the client has gone */
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
