/** On the loopback addresses of the machine: a server on IPv4 plays the container. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, systemClock } from "@fathom/base";
import { createSys, forwarderExecutable } from "@fathom/sys";
import { createForwarders, type Forwarders, type PortTarget } from "./forwarders.ts";
import { createReserver } from "./reserver.ts";
import { PortUnavailable } from "./port-allocator.ts";
import { until } from "@fathom/base/testing";

const sys = createSys();
const directory = mkdtempSync(join(tmpdir(), "forwarders-"));
const executable = (): number => forwarderExecutable(sys);
const daemon = (): Forwarders =>
  createForwarders({ sys, executable, directory, clock: systemClock, logger: silentLogger });
const reserver = createReserver(sys, true);
let forwarders = daemon();
afterEach(async () => {
  for (const id of forwarders.list()) await forwarders.end(id);
});
afterAll(() => rmSync(directory, { recursive: true }));

const hasIpv6 = (() => {
  try {
    Bun.listen({ hostname: "::1", port: 0, socket: { data() {} } }).stop();
    return true;
  } catch {
    return false;
  }
})();

/** A port that is free now. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "::1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

let count = 0;

/** A forwarder as the networks start it; returns its endpoint. */
function forward(protocol: "tcp" | "udp", port: number, target: PortTarget, hostIp = "::1"): string {
  const id = `endpoint${++count}`;
  using reservation = reserver.reserve(protocol, hostIp, port, target);
  forwarders.start(id, [reservation.listener!]);
  return id;
}

const pidOf = (id: string): number => Number(readFileSync(join(directory, id), "utf8"));

describe.skipIf(!hasIpv6)("TCP", () => {
  let echo: Server;
  let target: PortTarget;
  /** The ends of the "container". */
  const served = new Set<Socket>();
  beforeAll(async () => {
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      served.add(socket);
      socket.on("close", () => void served.delete(socket));
      socket.on("error", () => undefined);
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
    target = { address: "127.0.0.1", port: (echo.address() as AddressInfo).port };
  });
  afterAll(() => void echo.close());

  /** Sends, half-closes, and returns what came back. */
  const ask = (port: number, data: Buffer): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const parts: Buffer[] = [];
      const socket = connect({ host: "::1", port, allowHalfOpen: true });
      socket.on("data", (part) => void parts.push(Buffer.from(part)));
      socket.on("end", () => resolve(Buffer.concat(parts)));
      socket.on("error", reject);
      socket.end(data);
    });

  /** Opens a connection and waits for an answer on it. */
  async function talk(port: number): Promise<Socket & { say(text: string): Promise<string> }> {
    const socket = connect({ host: "::1", port, allowHalfOpen: true });
    socket.on("error", () => undefined);
    const say = (text: string): Promise<string> =>
      new Promise((resolve) => {
        socket.once("data", (data) => resolve(data.toString()));
        socket.write(text);
      });
    return Object.assign(socket, { say });
  }

  test("bytes go in both directions and a half-close is passed on", async () => {
    const port = freePort();
    forward("tcp", port, target);
    expect((await ask(port, Buffer.from("hello"))).toString()).toBe("hello");
    const large = Buffer.alloc(8_000_000, "0123456789");
    const answers = await Promise.all([ask(port, large), ask(port, large)]);
    for (const answer of answers) expect(answer.equals(large)).toBe(true);
    await until("the container's ends are closed", () => served.size === 0);
  });

  test("a slow reader slows the sender down", async () => {
    const port = freePort();
    const silent = createServer((socket) => void socket.pause());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    forward("tcp", port, { address: "127.0.0.1", port: (silent.address() as AddressInfo).port });
    const socket = connect({ host: "::1", port });
    socket.on("error", () => undefined);
    const chunk = Buffer.alloc(1_000_000);
    for (let sent = 0; sent < 200; sent++) socket.write(chunk);
    // The kernel's buffers of four sockets and a pipe hold some megabytes; nothing more is accepted.
    let last = -1;
    let same = 0;
    await until("the sender stands", () => {
      same = socket.bytesWritten - socket.writableLength === last ? same + 1 : 0;
      last = socket.bytesWritten - socket.writableLength;
      return same > 40;
    });
    expect(socket.writableLength).toBeGreaterThan(100_000_000);
    socket.destroy();
    silent.close();
  });

  test("without a server the client is rejected; a used port is rejected", async () => {
    const port = freePort();
    forward("tcp", port, { address: "127.0.0.1", port: 1 });
    await expect(ask(port, Buffer.from("x"))).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(() => forward("tcp", port, target)).toThrow(PortUnavailable);
    expect(() => forward("tcp", port, target, "2001:db8::1")).toThrow("cannot assign requested address");
  });

  test("when a container breaks a connection, the client's connection breaks too", async () => {
    const port = freePort();
    forward("tcp", port, target);
    const client = await talk(port);
    expect(await client.say("x")).toBe("x");
    const closed = new Promise<boolean>((resolve) => client.on("close", resolve));
    for (const socket of served) socket.resetAndDestroy();
    expect(await closed).toBe(true);
  });

  test("bytes that a container sends before it breaks a connection arrive, 200 of 200 times", async () => {
    const port = freePort();
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.write("last words", () => socket.resetAndDestroy()));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    forward("tcp", port, { address: "127.0.0.1", port: (server.address() as AddressInfo).port });
    const heard = new Map<string, number>();
    for (let turn = 0; turn < 200; turn++) {
      const client = connect({ host: "::1", port });
      let text = "";
      client.on("data", (data) => (text += data.toString()));
      client.on("error", (error: NodeJS.ErrnoException) => (text += ` ${error.code}`));
      const closed = new Promise((resolve) => client.on("close", resolve));
      client.write("x");
      await closed;
      heard.set(text, (heard.get(text) ?? 0) + 1);
    }
    server.close();
    expect([...heard]).toEqual([["last words ECONNRESET", 200]]);
  });

  test("the end of a forwarder ends connections and frees the port", async () => {
    const port = freePort();
    const id = forward("tcp", port, target);
    const client = await talk(port);
    await client.say("x");
    const ended = new Promise((resolve) => client.on("end", resolve));
    await forwarders.end(id);
    await ended;
    expect(forwarders.runs(id)).toBe(false);
    expect(readdirSync(directory)).toEqual([]);
    reserver.reserve("tcp", "::1", port, target)[Symbol.dispose]();
  });

  test("connections above the limit wait, and are served when others end", async () => {
    const port = freePort();
    const id = forward("tcp", port, target);
    await until("it runs", () => pidOf(id) > 0);
    const clients: Awaited<ReturnType<typeof talk>>[] = [];
    for (let group = 0; group < 16; group++) {
      const some = await Promise.all(Array.from({ length: 64 }, () => talk(port)));
      expect(await Promise.all(some.map((client) => client.say("x")))).toEqual(Array.from({ length: 64 }, () => "x"));
      clients.push(...some);
    }
    const fds = (): number => readdirSync(`/proc/${pidOf(id)}/fd`).length;
    const full = fds();
    const beyond = await talk(port);
    let answered = false;
    const answer = beyond.say("late").then((text) => {
      answered = true;
      return text;
    });
    // All the others are still served meanwhile.
    expect(await clients[0]!.say("still")).toBe("still");
    expect([answered, fds(), served.size]).toEqual([false, full, 1024]);
    clients.pop()!.destroy();
    expect(await answer).toBe("late");
    for (const client of [...clients, beyond]) client.destroy();
    await until("all connections are closed", () => served.size === 0 && fds() < 12);
  }, 60_000);

  test("a later daemon takes it over: open connections continue, new ones work, and the daemon can end it", async () => {
    const port = freePort();
    const id = forward("tcp", port, target);
    const before = await talk(port);
    await before.say("x");
    const pid = pidOf(id);
    // A daemon's knowledge of its children ends with the daemon.
    forwarders = daemon();
    expect([forwarders.list(), forwarders.runs(id)]).toEqual([[id], true]);
    expect(await before.say("still here")).toBe("still here");
    expect(await (await talk(port)).say("new")).toBe("new");
    expect(() => forwarders.start(id, [])).toThrow("has a forwarder already");
    const ended = forwarders.end(id);
    // It is this process's child, and nobody has reaped it until now.
    await until("it is dead", () => readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z "));
    sys.waitpid(pid);
    await ended;
    reserver.reserve("tcp", "::1", port, target)[Symbol.dispose]();
    expect(existsSync(join(directory, id))).toBe(false);
  });

  test("has no rights, and only its own descriptors", async () => {
    const port = freePort();
    const id = forward("tcp", port, target);
    expect(await (await talk(port)).say("x")).toBe("x");
    const status = readFileSync(`/proc/${pidOf(id)}/status`, "utf8");
    const field = (name: string): string => new RegExp(`^${name}:\\s+(.*)$`, "m").exec(status)?.[1] ?? "";
    expect([field("CapEff"), field("CapPrm"), field("NoNewPrivs"), field("Seccomp")]).toEqual([
      "0000000000000000",
      "0000000000000000",
      "1",
      "2",
    ]);
    expect(readFileSync(`/proc/${pidOf(id)}/limits`, "utf8")).toMatch(/^Max open files\s+7175\s+7175/m);
    expect(readdirSync(`/proc/${pidOf(id)}/fd`).length).toBeLessThanOrEqual(6 + 6);
  });
});

describe.skipIf(!hasIpv6)("UDP", () => {
  const client = async (port: number, host = "::1"): Promise<{ ask(text: string): Promise<string>; close(): void }> => {
    let answer: ((text: string) => void) | undefined;
    const socket = await Bun.udpSocket({
      hostname: "::1",
      connect: { hostname: host, port },
      socket: { data: (_socket, data) => answer?.(data.toString()) },
    });
    const ask = (text: string): Promise<string> =>
      new Promise((resolve) => {
        answer = resolve;
        socket.send(text);
      });
    return { ask, close: () => socket.close() };
  };

  test("answers reach their client; IPv4's port with the same number stays free", async () => {
    const seen = new Set<number>();
    const server = await Bun.udpSocket({
      hostname: "127.0.0.1",
      socket: {
        data: (socket, data, port, address) => {
          seen.add(port);
          void socket.send(`echo ${data}`, port, address);
        },
      },
    });
    const port = freePort();
    const target = { address: "127.0.0.1", port: server.port };
    const id = forward("udp", port, target, "::");
    expect(() => forward("udp", port, target)).toThrow(PortUnavailable);
    const clients = await Promise.all([client(port), client(port)]);
    expect(await Promise.all(clients.map((one, index) => one.ask(`${index}`)))).toEqual(["echo 0", "echo 1"]);
    expect(await clients[1]!.ask("again")).toBe("echo again");
    // One socket per client.
    expect(seen.size).toBe(2);
    // v6-only, otherwise this would collide.
    const other = await Bun.udpSocket({ hostname: "0.0.0.0", port });
    other.close();
    for (const one of clients) one.close();
    server.close();
    await forwarders.end(id);
    reserver.reserve("udp", "::", port, target)[Symbol.dispose]();
  });

  test("with more clients than it keeps, a new client replaces the one that was silent for longest", async () => {
    const seen: number[] = [];
    const server = await Bun.udpSocket({
      hostname: "127.0.0.1",
      socket: {
        data: (socket, data, port, address) => {
          seen.push(port);
          void socket.send(data, port, address);
        },
      },
    });
    const port = freePort();
    const id = forward("udp", port, { address: "127.0.0.1", port: server.port });
    const clients: Awaited<ReturnType<typeof client>>[] = [];
    for (let index = 0; index < 1100; index++) {
      const one = await client(port);
      expect(await one.ask("x")).toBe("x");
      clients.push(one);
    }
    expect(readdirSync(`/proc/${pidOf(id)}/fd`).length).toBe(1024 + 6);
    const first = seen[0];
    expect(await clients[0]!.ask("back")).toBe("back");
    expect(seen.at(-1)).not.toBe(first);
    for (const one of clients) one.close();
    server.close();
  }, 60_000);
});
