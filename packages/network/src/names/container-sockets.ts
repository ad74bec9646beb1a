/** The sockets of one container's resolver, in the container's network namespace. */
import type { Socket, TCPSocketListener } from "bun";
import { messageOf } from "@fathom/base";
import { resolverAddress } from "./contract.ts";
import { frame, FrameReader } from "./frames.ts";
import { redirect, type RedirectSys } from "./redirect.ts";
import type { Protocol } from "./upstream.ts";

const resolverPort = 53;
const maxConnections = 256;
/** Questions of one connection in progress; while there are more, it is not read. */
const maxPendingOfConnection = 64;
/** A question with its options has some hundred bytes. */
const maxQueryBytes = 4096;
/** Answers that a client has not read. */
const maxUnsentBytes = 128 << 10;
const idleSeconds = 10;

/** undefined: no answer. It never rejects. */
export type Answer = (query: Uint8Array, protocol: Protocol) => Uint8Array | undefined | Promise<Uint8Array>;

/** Disposing closes everything. */
export interface ContainerSockets extends Disposable {
  readonly udpPort: number;
  readonly tcpPort: number;
  /** For the log. */
  readonly warning?: string;
}

/**
 * Opens both sockets at ports that the kernel chooses, and redirects port 53 to them, as Docker does: a server in the container can still listen
 * at port 53 of every address. On a machine without nf_tables the sockets have port 53 themselves.
 * @throws when a socket cannot be made; then nothing is open
 */
export async function openContainerSockets(
  sys: RedirectSys,
  namespaceFd: number,
  answer: Answer,
): Promise<ContainerSockets> {
  const sockets = await openAt(sys, namespaceFd, answer, 0);
  try {
    redirect(sys, namespaceFd, resolverAddress, sockets);
    return sockets;
  } catch (error) {
    sockets[Symbol.dispose]();
    const warning = `its resolver occupies port 53, because the port cannot be redirected: ${messageOf(error)}`;
    return { ...(await openAt(sys, namespaceFd, answer, resolverPort)), warning };
  }
}

async function openAt(
  sys: Pick<RedirectSys, "withNetworkNamespace">,
  namespaceFd: number,
  answer: Answer,
  port: number,
): Promise<ContainerSockets> {
  using opened = new DisposableStack();
  // Both make their sockets before they return; only the first one gives a promise.
  const opening = sys.withNetworkNamespace(namespaceFd, () => {
    const listener = listenTcp(port, answer);
    opened.defer(() => listener.stop(true));
    return { datagrams: openUdp(port, answer), tcpPort: listener.port };
  });
  const datagrams = await opening.datagrams;
  opened.defer(() => datagrams.close());
  const all = opened.move();
  return { udpPort: datagrams.port, tcpPort: opening.tcpPort, [Symbol.dispose]: () => all.dispose() };
}

function openUdp(port: number, answer: Answer): Promise<Bun.udp.Socket<"buffer">> {
  return Bun.udpSocket({
    hostname: resolverAddress,
    port,
    socket: {
      data: (socket, query, clientPort, clientAddress) => {
        const result = answer(query, "udp");
        if (result instanceof Promise) void result.then((bytes) => send(socket, bytes, clientPort, clientAddress));
        else if (result !== undefined) send(socket, result, clientPort, clientAddress);
      },
      // A client was gone when its answer came.
      error: () => undefined,
    },
  });
}

/** An answer for which the kernel has no room is lost, as in any network. */
function send(socket: Bun.udp.Socket<"buffer">, answer: Uint8Array, port: number, address: string): void {
  // The first call may fail because of an earlier answer, whose client was gone.
  for (let attempt = 1; attempt <= 2 && !socket.closed; attempt++)
    try {
      socket.send(answer, port, address);
      return;
    } catch {
      continue;
    }
}

/** One client over TCP. */
class Connection {
  readonly #reader = new FrameReader(maxQueryBytes);
  readonly #waiting: Uint8Array[] = [];
  readonly #answer: Answer;
  #pending = 0;
  #unsent: Uint8Array[] = [];
  #unsentBytes = 0;
  #ended = false;
  #open = true;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  receive(socket: Socket<Connection>, chunk: Uint8Array): void {
    const queries = this.#reader.push(chunk);
    if (queries === undefined) return void socket.terminate();
    this.#waiting.push(...queries);
    this.#work(socket);
  }

  /** The client sends nothing more. */
  end(socket: Socket<Connection>): void {
    this.#ended = true;
    this.#work(socket);
  }

  close(): void {
    this.#open = false;
    this.#waiting.length = 0;
    this.#unsent = [];
  }

  #work(socket: Socket<Connection>): void {
    while (this.#open && this.#pending < maxPendingOfConnection) {
      const query = this.#waiting.shift();
      if (query === undefined) break;
      const result = this.#answer(query, "tcp");
      if (!(result instanceof Promise)) {
        this.#send(socket, result);
        continue;
      }
      this.#pending++;
      void result.then((bytes) => {
        this.#pending--;
        this.#send(socket, bytes);
        this.#work(socket);
      });
    }
    if (!this.#open) return;
    if (this.#pending >= maxPendingOfConnection) socket.pause();
    else socket.resume();
    if (this.#ended && this.#pending === 0 && this.#unsent.length === 0) socket.end();
  }

  #send(socket: Socket<Connection>, answer: Uint8Array | undefined): void {
    if (!this.#open || answer === undefined) return;
    const bytes = frame(answer);
    this.#unsent.push(bytes);
    this.#unsentBytes += bytes.length;
    this.flush(socket);
    // It asks without reading the answers.
    if (this.#unsentBytes > maxUnsentBytes) socket.terminate();
  }

  flush(socket: Socket<Connection>): void {
    for (let first = this.#unsent[0]; first !== undefined; first = this.#unsent[0]) {
      const count = Math.max(0, socket.write(first));
      this.#unsentBytes -= count;
      if (count < first.length) {
        this.#unsent[0] = first.subarray(count);
        return;
      }
      this.#unsent.shift();
    }
    if (this.#ended && this.#pending === 0) socket.end();
  }
}

function listenTcp(port: number, answer: Answer): TCPSocketListener<Connection> {
  let connections = 0;
  return Bun.listen<Connection>({
    hostname: resolverAddress,
    port,
    allowHalfOpen: true,
    socket: {
      open: (socket) => {
        socket.data = new Connection(answer);
        if (++connections > maxConnections) socket.terminate();
        else socket.timeout(idleSeconds);
      },
      data: (socket, chunk) => {
        socket.timeout(idleSeconds);
        socket.data.receive(socket, chunk);
      },
      drain: (socket) => socket.data.flush(socket),
      end: (socket) => socket.data.end(socket),
      timeout: (socket) => void socket.terminate(),
      close: (socket) => {
        connections--;
        socket.data.close();
      },
      error: (socket) => void socket.terminate(),
    },
  });
}
