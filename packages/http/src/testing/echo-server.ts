/**
 * A server that uses only `Connection`, over a socket of any kind. It answers with a description of each request, and gives away connections
 * that ask for it. For /careless, an error of the body does not count; it does not read a body for /unread; it answers /hold when `release` is
 * called; /large has an answer of 64 MiB.
 */
import { deferred, type Deferred } from "@fathom/base";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { HttpError } from "../message/http-error.ts";
import { ByteBudget } from "../server/byte-budget.ts";
import { connectionLimits, type ConnectionLimits } from "../server/connection-limits.ts";
import { Connection } from "../server/connection.ts";
import type { Exchange } from "../server/exchange.ts";
import type { SocketAddress } from "../socket/open-socket.ts";
import { tlsServer, type ClientTls, type ServerTls } from "../socket/tls.ts";
import type { Upgraded } from "../socket/upgraded.ts";

export interface EchoServer extends AsyncDisposable {
  /** "METHOD target body" of each request. */
  readonly requests: string[];
  readonly address: SocketAddress;
  readonly port: number;
  /** Answers the requests that are held. */
  release(): void;
  /** Bytes that the server has passed to the kernel, for the connection with the most. */
  written(): number;
}

export interface EchoOptions {
  readonly tls?: ServerTls;
  /** How clients connect. */
  readonly clientTls?: ClientTls;
  /** Limits of each connection; by default those of the package. */
  readonly limits?: Partial<ConnectionLimits>;
  /** Receives each connection whose request is a POST to /upgrade. */
  readonly onUpgrade?: (upgraded: Upgraded, signal: AbortSignal) => Promise<void>;
}

export async function startEchoServer(options: EchoOptions = {}): Promise<EchoServer> {
  const requests: string[] = [];
  const connections = new Set<Connection>();
  const sockets = new Set<Socket>();
  let held: Deferred<void> = deferred();
  const limits = { budget: new ByteBudget(8 << 20), timeoutMs: 10_000 };
  const handle = async (exchange: Exchange): Promise<void> => {
    const { head, body, response } = exchange;
    if (head.target === "/upgrade" && options.onUpgrade !== undefined) {
      exchange.expectHijack();
      const socket = response.hijack("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
      return options.onUpgrade({ socket, ...exchange.takeInput() }, exchange.signal);
    }
    if (head.target === "/unread" || head.target === "/hold") {
      if (head.target === "/hold") await held.promise;
      requests.push(`${head.method} ${head.target} `);
      return response.send(200, "text/plain", "");
    }
    if (head.target === "/large") return response.send(200, "text/plain", Buffer.alloc(64 << 20, "x"));
    try {
      const text = `${head.method} ${head.target} ${await body.text(1 << 20)}`;
      requests.push(text);
      response.send(200, "text/plain", text);
    } catch (error) {
      if (head.target === "/careless") return response.send(200, "text/plain", "");
      response.closeAfter();
      response.json(error instanceof HttpError ? error.status : 500, { message: String(error) });
    }
  };
  const accept = (socket: Socket): void => {
    sockets.add(socket);
    connections.add(new Connection(socket, handle, "", limits, { ...connectionLimits, ...options.limits }));
  };
  const server: Server =
    options.tls === undefined ? createServer({ allowHalfOpen: true }, accept) : tlsServer(options.tls, accept);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const tcp = { kind: "tcp", hostname: "127.0.0.1", port } as const;
  return {
    requests,
    port,
    release() {
      held.resolve();
      held = deferred();
    },
    written: () => Math.max(...[...sockets].map((socket) => socket.bytesWritten - socket.writableLength)),
    address: options.clientTls === undefined ? tcp : { ...tcp, tls: options.clientTls },
    async [Symbol.asyncDispose]() {
      for (const connection of connections) connection.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
