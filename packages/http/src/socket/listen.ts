/** Servers of TLS connections, for callers that load TLS only when it is needed. */
import type { Server, Socket } from "node:net";
import type { ServerTls } from "./tls.ts";

/** Not listening yet; `accept` gets each connection when its handshake is finished. Each side can close its direction alone. */
export async function createTlsServer(tls: ServerTls, accept: (socket: Socket) => void): Promise<Server> {
  const { tlsServer } = await import("./tls.ts");
  return tlsServer(tls, accept);
}
