/** A stream to a receiver: TCP, TLS or a unix socket. */
import { readFile } from "node:fs/promises";
import { connect, isIP, type Socket } from "node:net";
import { errnoOf, EngineError, messageOf, within } from "@fathom/base";
import { ReceiverUnreachable, type StreamPlace, type TlsIdentity } from "../destination.ts";

const connectLimitMs = 10_000;
const writeLimitMs = 30_000;

export class ByteStream {
  readonly #socket: Socket;
  readonly #writeLimitMs: number;
  #broken: Error | undefined;
  /** Rejects when the connection ends. */
  readonly #ended = Promise.withResolvers<never>();
  #unread: Buffer[] = [];
  #readWaiter: ((data: Buffer) => void) | undefined;

  constructor(socket: Socket, limitMs = writeLimitMs) {
    this.#socket = socket;
    this.#writeLimitMs = limitMs;
    this.#ended.promise.catch(() => undefined);
    const end = (error: Error): void => {
      this.#broken ??= error;
      this.#ended.reject(this.#broken);
    };
    socket.on("error", end);
    socket.on("end", () => end(new EngineError("unavailable", "the receiver closed the connection")));
    socket.on("close", () => end(new EngineError("unavailable", "the connection to the receiver has ended")));
    socket.on("data", (data: Buffer) => {
      const waiter = this.#readWaiter;
      this.#readWaiter = undefined;
      if (waiter !== undefined) waiter(data);
      else if (this.#unread.length < 16) this.#unread.push(data);
    });
  }

  /** Resolves when the kernel has the bytes. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#broken !== undefined) throw this.#broken;
    const written = new Promise<void>((resolve, reject) => {
      this.#socket.write(bytes, (error) => (error === undefined || error === null ? resolve() : reject(error)));
    });
    await within(Promise.race([written, this.#ended.promise]), this.#writeLimitMs, () => {
      throw new EngineError("timeout", `the receiver took nothing for ${this.#writeLimitMs / 1000} s`);
    });
  }

  /** The next bytes from the receiver. */
  async read(limitMs: number): Promise<Buffer> {
    const first = this.#unread.shift();
    if (first !== undefined) return first;
    const data = new Promise<Buffer>((resolve) => (this.#readWaiter = resolve));
    return within(Promise.race([data, this.#ended.promise]), limitMs, () => {
      throw new EngineError("timeout", `the receiver confirmed nothing for ${limitMs / 1000} s`);
    });
  }

  /** What was written is still sent. */
  async close(): Promise<void> {
    if (this.#broken === undefined) {
      const closed = new Promise<void>((resolve) => this.#socket.end(resolve));
      await within(Promise.race([closed, this.#ended.promise.catch(() => undefined)]), 2_000, () => undefined);
    }
    this.#socket.destroy();
  }
}

/** @throws ReceiverUnreachable */
export async function openStream(place: StreamPlace, limitMs?: number): Promise<ByteStream> {
  const address = place.kind === "unix" ? place.path : joinHostPort(place.host, place.port);
  const network = place.kind === "unix" ? "unix" : "tcp";
  try {
    const socket =
      place.kind === "unix"
        ? connect({ path: place.path })
        : place.kind === "tls"
          ? await tlsSocket(place.host, place.port, place.identity)
          : connect({ host: place.host, port: place.port });
    const connected = Promise.withResolvers<void>();
    socket.once(place.kind === "tls" ? "secureConnect" : "connect", () => connected.resolve());
    socket.once("error", (error) => connected.reject(error));
    try {
      await within(connected.promise, connectLimitMs, () => {
        throw new EngineError("timeout", "i/o timeout");
      });
    } catch (error) {
      socket.on("error", () => undefined);
      socket.destroy();
      throw error;
    }
    socket.setKeepAlive(true, 30_000);
    return new ByteStream(socket, limitMs);
  } catch (cause) {
    throw new ReceiverUnreachable(network, address, errnoOf(cause) ?? messageOf(cause), { cause });
  }
}

/** "[::1]:514". */
export function joinHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

async function tlsSocket(host: string, port: number, identity: TlsIdentity): Promise<Socket> {
  const tls = await import("node:tls");
  const { ca, certificate, key, verify } = identity;
  return tls.connect({
    host,
    port,
    // A name is sent; an address may not be.
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === undefined ? {} : { ca: await readFile(ca) }),
    ...(certificate === undefined ? {} : { cert: await readFile(certificate) }),
    ...(key === undefined ? {} : { key: await readFile(key) }),
    rejectUnauthorized: verify,
  });
}
