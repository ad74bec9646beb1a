/**
 * Sends questions to servers, each from a socket of its own: a new port for each question makes it hard to forge answers. Sockets for servers
 * that the container reaches are made in its network namespace.
 */
import type { Sys } from "@fathom/sys";
import type { Exchange, Transport } from "./upstream.ts";
import { frame, FrameReader } from "./frames.ts";

const dnsPort = 53;

export function createSocketTransport(sys: Pick<Sys, "withNetworkNamespace">, port = dnsPort): Transport {
  /** `open` makes its socket before it returns. */
  const inNamespace = <T>({ server, namespaceFd }: Exchange, open: () => T): T =>
    server.from === "container" ? sys.withNetworkNamespace(namespaceFd, open) : open();
  return async (exchange) => {
    const { protocol, server, query, accepts, signal } = exchange;
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const stop = (): void => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    await using sockets = new AsyncDisposableStack();
    sockets.defer(() => signal.removeEventListener("abort", stop));
    if (protocol === "udp") {
      const socket = await inNamespace(exchange, () =>
        Bun.udpSocket({
          // The socket's family.
          hostname: server.address.includes(":") ? "::" : "0.0.0.0",
          connect: { hostname: server.address, port },
          socket: {
            data: (_socket, data) => {
              if (accepts(data)) resolve(Uint8Array.from(data));
            },
            error: (_socket, error) => reject(error ?? new Error("the server's port is closed")),
          },
        }),
      );
      sockets.defer(() => socket.close());
      socket.send(query);
      return await promise;
    }
    const reader = new FrameReader();
    const framed = frame(query);
    let sent = 0;
    const opening = inNamespace(exchange, () =>
      Bun.connect({
        hostname: server.address,
        port,
        socket: {
          open: (socket) => {
            sent = Math.max(0, socket.write(framed));
          },
          drain: (socket) => {
            if (sent < framed.length) sent += Math.max(0, socket.write(framed.subarray(sent)));
          },
          data: (_socket, data) => {
            for (const message of reader.push(data) ?? []) if (accepts(message)) resolve(message);
          },
          close: () => reject(new Error("the server closed the connection")),
          error: (_socket, error) => reject(error),
          connectError: (_socket, error) => reject(error),
        },
      }),
    );
    // A connection that comes too late is closed too.
    opening.then(
      (socket) => void (signal.aborted && socket.terminate()),
      (error: unknown) => reject(error),
    );
    sockets.defer(() => void opening.then((socket) => socket.terminate()).catch(() => undefined));
    return await promise;
  };
}
