/** The server: connections and their limits. */
import type { Logger } from "@fathom/base";
import { ByteBudget, Connection, createTlsServer, HttpError, type BodyLimits, type ServerTls } from "@fathom/http";
import { createServer, type Server, type Socket } from "node:net";
import type { Registry } from "./registry.ts";

export interface ListenOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly tls?: ServerTls | undefined;
  readonly registry: Registry;
  readonly logger: Logger;
  readonly version: string;
  /** An idle connection is closed for a new one above this number. */
  readonly connections?: number;
}

export interface RegistryServer {
  readonly port: number;
  /** No more connections; requests under way have this time to end. */
  close(graceMs: number): Promise<void>;
}

/** @throws the system's error when it cannot listen there */
export async function listen(options: ListenOptions): Promise<RegistryServer> {
  const { host, port, tls, registry, logger, connections: limit = 4096 } = options;
  const connections = new Set<Connection>();
  const bodies: BodyLimits = { budget: new ByteBudget(1 << 20), timeoutMs: 60_000 };
  let closing = false;

  const accept = (socket: Socket): void => {
    if (closing) return void socket.destroy();
    const remote = socket.remoteAddress;
    const connection: Connection = new Connection(
      socket,
      async (exchange) => {
        if (connections.delete(connection)) connections.add(connection);
        await registry(exchange, remote);
      },
      `Server: Fathom/${options.version} (linux)\r\nX-Content-Type-Options: nosniff\r\n`,
      bodies,
    );
    connections.add(connection);
    socket.once("close", () => connections.delete(connection));
    if (connections.size <= limit) return;
    for (const other of connections)
      if (other !== connection && other.idle) {
        connections.delete(other);
        return other.destroy();
      }
    connection.refuse(new HttpError(503, `${limit} connections have a request under way; try again`));
  };

  const server: Server =
    tls === undefined
      ? createServer({ allowHalfOpen: true, noDelay: true }, accept)
      : await createTlsServer(tls, accept);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: 4096 }, () => {
      server.off("error", reject);
      server.on("error", (error) => logger.error("the registry's listener failed", { error }));
      resolve();
    });
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    async close(graceMs) {
      closing = true;
      server.close();
      for (const connection of connections) connection.closeWhenIdle();
      const deadline = performance.now() + graceMs;
      while (connections.size > 0 && performance.now() < deadline) await Bun.sleep(10);
      for (const connection of connections) connection.destroy();
    },
  };
}
