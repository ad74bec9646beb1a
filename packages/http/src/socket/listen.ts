/** Servers of TLS connections, for those that load TLS only where it is asked for. */
import type { Server, Socket } from "node:net";
import type { ServerTls } from "./tls.ts";

/** Not listening yet; `accept` gets each connection when its handshake is done. Each side of it can end on its own. */
export async function createTlsServer(tls: ServerTls, accept: (socket: Socket) => void): Promise<Server> {
  const { tlsServer } = await import("./tls.ts");
  return tlsServer(tls, accept);
}
