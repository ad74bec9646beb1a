/** Connections to a server. */
import { connect, type Socket } from "node:net";
import type { ClientTls } from "./tls.ts";

export type SocketAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly hostname: string; readonly port: number; readonly tls?: ClientTls };

/** Each side can close its direction alone. Rejects with the system's error when nobody answers. */
export async function openSocket(address: SocketAddress): Promise<Socket> {
  if (address.kind === "tcp" && address.tls !== undefined) {
    const { connectTls } = await import("./tls.ts");
    return connectTls(address.hostname, address.port, address.tls);
  }
  return new Promise((resolve, reject) => {
    const socket =
      address.kind === "unix"
        ? connect({ path: address.path, allowHalfOpen: true })
        : connect({ host: address.hostname, port: address.port, allowHalfOpen: true, noDelay: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}
