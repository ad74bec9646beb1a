/**
 * A server of `Connection` alone, over a socket of any kind: it says what each request was, and gives connections away that ask for it. An error of the body of
 * /careless is no error to it.
 */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { HttpError } from "../message/http-error.ts";
import { ByteBudget } from "../server/byte-budget.ts";
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
}

export interface EchoOptions {
  readonly tls?: ServerTls;
  /** How clients connect. */
  readonly clientTls?: ClientTls;
  /** Gets each connection whose request is a POST to /upgrade. */
  readonly onUpgrade?: (upgraded: Upgraded, signal: AbortSignal) => Promise<void>;
}

export async function startEchoServer(options: EchoOptions = {}): Promise<EchoServer> {
  const requests: string[] = [];
  const connections = new Set<Connection>();
  const limits = { budget: new ByteBudget(8 << 20), timeoutMs: 10_000 };
  const handle = async (exchange: Exchange): Promise<void> => {
    const { head, body, response } = exchange;
    if (head.target === "/upgrade" && options.onUpgrade !== undefined) {
      exchange.expectHijack();
      const socket = response.hijack("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
      return options.onUpgrade({ socket, ...exchange.takeInput() }, exchange.signal);
    }
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
    connections.add(new Connection(socket, handle, "", limits));
  };
  const server: Server =
    options.tls === undefined ? createServer({ allowHalfOpen: true }, accept) : tlsServer(options.tls, accept);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const tcp = { kind: "tcp", hostname: "127.0.0.1", port } as const;
  return {
    requests,
    port,
    address: options.clientTls === undefined ? tcp : { ...tcp, tls: options.clientTls },
    async [Symbol.asyncDispose]() {
      for (const connection of connections) connection.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
