/** TLS around a connection. Loaded only when it is needed: a program that lives for milliseconds on a unix socket needs none of it. */
import type { Server, Socket } from "node:net";
import { connect, createServer } from "node:tls";

/** How long the other side may take for the handshake; a head of a request has the same limit. */
const handshakeTimeoutMs = 30_000;

export interface ServerTls {
  /** PEM: the server's certificate with its chain, and its key. */
  readonly certificate: string;
  readonly key: string;
  /** PEM: authorities of clients' certificates. With them, a client without such a certificate is rejected. */
  readonly clientAuthorities?: string;
}

export interface ClientTls {
  /** PEM. Absent: the authorities that the runtime trusts. */
  readonly authorities?: string;
  /** PEM: the client's own certificate with its chain, and its key. */
  readonly certificate?: string;
  readonly key?: string;
  /** False: the server's certificate is not verified. */
  readonly verify: boolean;
}

/** See `createTlsServer`. */
export function tlsServer(
  tls: ServerTls,
  accept: (socket: Socket) => void,
  handshakeTimeout: number = handshakeTimeoutMs,
): Server {
  const server = createServer(
    {
      handshakeTimeout,
      cert: tls.certificate,
      key: tls.key,
      minVersion: "TLSv1.2",
      allowHalfOpen: true,
      noDelay: true,
      ...(tls.clientAuthorities === undefined
        ? {}
        : { ca: tls.clientAuthorities, requestCert: true, rejectUnauthorized: true }),
    },
    accept,
  );
  // A client that does not use TLS, is rejected, or does not finish its handshake in time, needs no report.
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  return server;
}

/**
 * Resolves when the handshake is finished and the server's certificate is valid. Rejects with the system's or TLS's error, also when the
 * handshake takes too long.
 */
export function connectTls(
  hostname: string,
  port: number,
  tls: ClientTls,
  timeoutMs: number = handshakeTimeoutMs,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const options = {
      host: hostname,
      port,
      minVersion: "TLSv1.2" as const,
      allowHalfOpen: true,
      rejectUnauthorized: tls.verify,
      ...(tls.authorities === undefined ? {} : { ca: tls.authorities }),
      ...(tls.certificate === undefined ? {} : { cert: tls.certificate, key: tls.key }),
    };
    const socket = connect(options);
    // The kernel limits the time of the connect itself.
    let timer: ReturnType<typeof setTimeout> | undefined;
    socket.once("connect", () => {
      timer = setTimeout(() => socket.destroy(new Error("TLS handshake timeout")), timeoutMs);
    });
    const failed = (error: Error): void => {
      clearTimeout(timer);
      reject(error);
    };
    socket.once("error", failed);
    socket.once("secureConnect", () => {
      clearTimeout(timer);
      socket.off("error", failed);
      socket.setNoDelay(true);
      resolve(socket);
    });
  });
}
