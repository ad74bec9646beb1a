/**
 * Forwards connections from an IPv6 address of the host to a container that has IPv4 only: the kernel translates no addresses between the
 * families. The daemon itself carries these bytes, so they flow only while it runs; IPv4 needs it not.
 */
import type { PortTarget } from "./port-allocator.ts";
import { isErrno, PortUnavailable } from "./port-allocator.ts";

/** One direction of a connection: what could not be written yet waits here, and its source is paused meanwhile. */
class Side {
  socket: Bun.Socket<Side> | undefined;
  peer!: Side;
  #waiting: Uint8Array[] = [];
  #ending = false;

  /** Bytes for this side's socket. */
  take(data: Uint8Array): void {
    if (this.socket !== undefined && this.#waiting.length === 0) {
      const written = Math.max(0, this.socket.write(data));
      if (written === data.length) return;
      data = data.subarray(written);
    }
    // The buffer that a handler is given is used again.
    this.#waiting.push(data.slice());
    this.peer.socket?.pause();
  }

  flush(): void {
    const { socket } = this;
    if (socket === undefined) return;
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0]!;
      const written = Math.max(0, socket.write(first));
      if (written < first.length) {
        this.#waiting[0] = first.subarray(written);
        return;
      }
      this.#waiting.shift();
    }
    if (this.#ending) socket.shutdown();
    else this.peer.socket?.resume();
  }

  /** No more bytes will come for this side. */
  end(): void {
    this.#ending = true;
    if (this.#waiting.length === 0) this.socket?.shutdown();
  }

  /** The connection is over or broken: both ends go. */
  destroy(): void {
    this.#waiting = [];
    const { socket } = this;
    this.socket = undefined;
    socket?.terminate();
  }
}

const handlers: Bun.SocketHandler<Side> = {
  data: (socket, data) => socket.data.peer.take(data),
  drain: (socket) => socket.data.flush(),
  end: (socket) => socket.data.peer.end(),
  close: (socket) => {
    socket.data.socket = undefined;
    socket.data.peer.end();
    // Both directions are done when the other end has closed as well; a broken one does not wait.
  },
  error: (socket) => {
    socket.data.peer.destroy();
    socket.data.destroy();
  },
};

/** @throws PortUnavailable when the host refuses the port. */
export function forwardTcp(hostIp: string, port: number, target: PortTarget): Disposable {
  const live = new Set<Side>();
  const accept = (socket: Bun.Socket<Side>): void => {
    const client = new Side();
    const container = new Side();
    client.peer = container;
    container.peer = client;
    client.socket = socket;
    socket.data = client;
    live.add(client);
    socket.pause();
    Bun.connect<Side>({
      hostname: target.address,
      port: target.port,
      allowHalfOpen: true,
      data: container,
      socket: {
        ...handlers,
        open: (upstream) => {
          container.socket = upstream;
          container.flush();
          socket.resume();
        },
        connectError: () => client.destroy(),
      },
    }).catch(() => client.destroy());
  };
  try {
    // The type of Bun.listen leaves `ipv6Only` out.
    const options: Bun.TCPSocketListenOptions<Side> & { readonly ipv6Only: true } = {
      hostname: hostIp,
      port,
      ipv6Only: true,
      allowHalfOpen: true,
      socket: {
        ...handlers,
        open: accept,
        close: (socket, error) => {
          live.delete(socket.data);
          void handlers.close?.(socket, error);
        },
      },
    };
    const listener = Bun.listen<Side>(options);
    return {
      [Symbol.dispose]: () => {
        listener.stop(true);
        for (const side of live) {
          side.peer.destroy();
          side.destroy();
        }
      },
    };
  } catch (error) {
    throw unavailable(error);
  }
}

/** A client that sent nothing for this long is forgotten. */
const udpIdleMs = 90_000;
/** Clients of one port at a time; the oldest makes way. */
const maxUdpClients = 1024;

/** @throws PortUnavailable when the host refuses the port. */
export function forwardUdp(hostIp: string, port: number, target: PortTarget): Disposable {
  interface Client {
    upstream: Bun.udp.ConnectedSocket<"buffer"> | undefined;
    waiting: Uint8Array[];
    lastMs: number;
  }
  const clients = new Map<string, Client>();
  const forget = (key: string): void => {
    clients.get(key)?.upstream?.close();
    clients.delete(key);
  };
  const sweep = setInterval(() => {
    const before = performance.now() - udpIdleMs;
    for (const [key, client] of clients) if (client.lastMs < before) forget(key);
  }, udpIdleMs / 3);
  sweep.unref();

  const options = {
    hostname: hostIp,
    port,
    flags: udpIpv6Only,
    socket: {
      data: (socket: Bun.udp.Socket<"buffer">, data: Buffer, clientPort: number, clientAddress: string) => {
        const key = `${clientAddress} ${clientPort}`;
        let client = clients.get(key);
        if (client !== undefined) {
          client.lastMs = performance.now();
          if (client.upstream === undefined) client.waiting.push(data.slice());
          else client.upstream.send(data);
          return;
        }
        if (clients.size >= maxUdpClients) forget(clients.keys().next().value!);
        client = { upstream: undefined, waiting: [data.slice()], lastMs: performance.now() };
        clients.set(key, client);
        const created = client;
        Bun.udpSocket({
          connect: { hostname: target.address, port: target.port },
          socket: {
            data: (_upstream, answer) => void socket.send(answer, clientPort, clientAddress),
            // The container refuses: its port is closed, as UDP tells by ICMP.
            error: () => forget(key),
          },
        }).then(
          (upstream) => {
            if (clients.get(key) !== created) return upstream.close();
            created.upstream = upstream;
            for (const packet of created.waiting.splice(0)) upstream.send(packet);
          },
          () => forget(key),
        );
      },
    },
  };
  // The socket is bound, or the call throws, before it returns; only the promise around it is late.
  let pending: Promise<Bun.udp.Socket<"buffer">>;
  try {
    pending = Bun.udpSocket(options);
  } catch (error) {
    clearInterval(sweep);
    throw unavailable(error);
  }
  return {
    [Symbol.dispose]: () => {
      clearInterval(sweep);
      for (const key of clients.keys()) forget(key);
      // At once where it is there already: the port may be wanted again in this very turn.
      const socket = Bun.peek(pending);
      if (socket instanceof Promise) void socket.then((late) => late.close());
      else socket.close();
    },
  };
}

/** LIBUS_SOCKET_IPV6_ONLY of Bun's socket layer; forwarder.test.ts holds that it still means this. */
const udpIpv6Only = 8;

function unavailable(error: unknown): unknown {
  if (isErrno(error, "EADDRINUSE")) return new PortUnavailable("address already in use", { cause: error });
  if (isErrno(error, "EADDRNOTAVAIL")) return new PortUnavailable("cannot assign requested address", { cause: error });
  if (isErrno(error, "EACCES")) return new PortUnavailable("permission denied", { cause: error });
  return error;
}
