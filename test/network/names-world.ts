/** Containers' namespaces, clients in them, and upstream servers, for tests of names. The test's own namespace plays the host. */
import { createNameServer, type NameService } from "@fathom/network";
import type { NamesPlace, ServerAnswer } from "@fathom/network/testing";
import { systemClock } from "@fathom/base";
import { run, sys } from "./world.ts";

const resolver = { hostname: "127.0.0.11", port: 53 };
/** A resolver that answers nothing is not waited for longer. */
const silenceMs = 300;

export class NamesWorld implements AsyncDisposable {
  readonly #opened = new AsyncDisposableStack();
  readonly #namespaces = new Map<string, number>();

  namespace = (): string => {
    const fd = sys.createNetworkNamespace();
    const path = `/proc/${process.pid}/fd/${fd}`;
    this.#namespaces.set(path, fd);
    run("nsenter", `--net=${path}`, "ip", "link", "set", "lo", "up");
    return path;
  };

  /** As when the container has ended: only others still hold its namespace. */
  end(namespace: string): void {
    sys.close(this.#namespaces.get(namespace)!);
    this.#namespaces.delete(namespace);
  }

  inside<T>(namespace: string, action: () => T): T {
    return sys.withNetworkNamespace(this.#namespaces.get(namespace)!, action);
  }

  ask: NamesPlace["ask"] = async (namespace, query, protocol) => {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>();
    if (protocol === "tcp") {
      const connection = await this.connectTcp(namespace);
      using _ = connection;
      connection.send(query);
      return await connection.next();
    }
    const socket = await this.inside(namespace, () =>
      Bun.udpSocket({
        connect: resolver,
        socket: {
          data: (_socket, data) => resolve(Uint8Array.from(data)),
          error: (_socket, error) => reject(error ?? new Error("refused")),
        },
      }),
    );
    socket.send(query);
    const timer = setTimeout(() => resolve(undefined), silenceMs);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      socket.close();
    }
  };

  /** A connection that stays open. */
  async connectTcp(
    namespace: string,
  ): Promise<
    Disposable & { send(query: Uint8Array): void; next(): Promise<Uint8Array>; readonly closed: Promise<void> }
  > {
    let rest = Buffer.alloc(0);
    const ready: Uint8Array[] = [];
    const waiting: PromiseWithResolvers<Uint8Array>[] = [];
    const closed = Promise.withResolvers<void>();
    const socket = await this.inside(namespace, () =>
      Bun.connect({
        ...resolver,
        socket: {
          data: (_socket, chunk) => {
            rest = Buffer.concat([rest, chunk]);
            while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE()) {
              const message = Uint8Array.from(rest.subarray(2, 2 + rest.readUInt16BE()));
              rest = rest.subarray(2 + message.length);
              const first = waiting.shift();
              if (first === undefined) ready.push(message);
              else first.resolve(message);
            }
          },
          close: () => {
            closed.resolve();
            for (const each of waiting.splice(0)) each.reject(new Error("the connection is closed"));
          },
        },
      }),
    );
    return {
      closed: closed.promise,
      send: (query) => void socket.write(Buffer.concat([Uint8Array.of(query.length >> 8, query.length & 255), query])),
      next: () => {
        const message = ready.shift();
        if (message !== undefined) return Promise.resolve(message);
        const wait = Promise.withResolvers<Uint8Array>();
        waiting.push(wait);
        return wait.promise;
      },
      [Symbol.dispose]: () => socket.terminate(),
    };
  }

  server = async (
    where: "host" | { readonly namespace: string },
    address: string,
    answer: ServerAnswer,
  ): Promise<void> => {
    const open = (): [Promise<Bun.udp.Socket<"buffer">>, Bun.TCPSocketListener] => [
      Bun.udpSocket({
        hostname: address,
        port: 53,
        socket: {
          data: (socket, query, port, client) => {
            const bytes = answer(query, "udp");
            if (bytes !== undefined) socket.send(bytes, port, client);
          },
        },
      }),
      Bun.listen({
        hostname: address,
        port: 53,
        socket: {
          data: (socket, chunk) => {
            const bytes = answer(chunk.subarray(2), "tcp");
            if (bytes === undefined) return;
            // In two parts, as slow networks deliver them.
            socket.write(Uint8Array.of(bytes.length >> 8));
            socket.flush();
            setTimeout(() => socket.write(Buffer.concat([Uint8Array.of(bytes.length & 255), bytes])), 5);
          },
        },
      }),
    ];
    const [opening, listener] = where === "host" ? open() : this.inside(where.namespace, open);
    this.#opened.defer(() => listener.stop(true));
    const socket = await opening;
    this.#opened.defer(() => socket.close());
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
    for (const fd of this.#namespaces.values()) sys.close(fd);
    this.#namespaces.clear();
  }
}

export function place(service: NameService, world = new NamesWorld()): NamesPlace & { readonly world: NamesWorld } {
  return {
    service,
    world,
    namespace: world.namespace,
    ask: world.ask,
    server: world.server,
    [Symbol.asyncDispose]: async () => {
      await service[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

export function serverInThisProcess(): NameService {
  return createNameServer(sys, { clock: systemClock });
}
