/** The end of a process that is no child here, or is not reaped yet, as an event of the loop and without polling. */
import { connect } from "node:net";
import type { Sys } from "../contract.ts";

/**
 * Resolves when the process has ended (it may be a zombie). The event loop waits until the pidfd is readable, which happens at the end. The
 * read itself fails, because a pidfd is no socket, and that failure is the event.
 * @param pidfd Closed when this settles.
 * @throws the signal's reason
 */
export function processEnd(sys: Pick<Sys, "close">, pidfd: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) {
    sys.close(pidfd);
    return Promise.reject(signal.reason);
  }
  return new Promise((resolve, reject) => {
    const socket = connect({ fd: pidfd } as unknown as Parameters<typeof connect>[0] & { port: number });
    socket.unref();
    const stop = (): void => {
      reject(signal.reason);
      socket.destroy();
    };
    signal.addEventListener("abort", stop, { once: true });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      signal.removeEventListener("abort", stop);
      resolve();
    });
  });
}
