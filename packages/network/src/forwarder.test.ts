/** On the loopback addresses of the machine: a server on IPv4 plays the container. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import { forwardTcp, forwardUdp } from "./forwarder.ts";
import { PortUnavailable } from "./port-allocator.ts";

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

describe.skipIf(!hasIpv6)("TCP", () => {
  let echo: Server;
  let target: { address: string; port: number };
  beforeAll(async () => {
    echo = createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
    target = { address: "127.0.0.1", port: (echo.address() as AddressInfo).port };
  });
  afterAll(() => void echo.close());

  /** Sends, half-closes, gives what came back. */
  const ask = (port: number, data: Buffer): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const parts: Buffer[] = [];
      const socket = connect({ host: "::1", port, allowHalfOpen: true });
      socket.on("data", (part) => void parts.push(Buffer.from(part)));
      socket.on("end", () => resolve(Buffer.concat(parts)));
      socket.on("error", reject);
      socket.end(data);
    });

  test("bytes go both ways and a half-close is passed on", async () => {
    const port = freePort();
    using _forwarder = forwardTcp("::1", port, target);
    expect((await ask(port, Buffer.from("hello"))).toString()).toBe("hello");
    const large = Buffer.alloc(8_000_000, "0123456789");
    const answers = await Promise.all([ask(port, large), ask(port, large)]);
    for (const answer of answers) expect(answer.equals(large)).toBe(true);
  });

  test("a slow reader holds the sender back", async () => {
    const port = freePort();
    using _forwarder = forwardTcp("::1", port, target);
    const socket = connect({ host: "::1", port, allowHalfOpen: true });
    let sent = 0;
    socket.pause();
    socket.on("error", () => undefined);
    const chunk = Buffer.alloc(1_000_000);
    while (sent < 200 && socket.write(chunk)) sent++;
    for (let quiet = 0; quiet < 3;) {
      const drained = await Promise.race([
        new Promise<boolean>((resolve) => socket.once("drain", () => resolve(true))),
        Bun.sleep(100).then(() => false),
      ]);
      quiet = drained ? 0 : quiet + 1;
      if (drained && sent < 200) while (sent < 200 && socket.write(chunk)) sent++;
      if (sent >= 200) break;
    }
    // The kernel's buffers of four sockets hold some megabytes; nothing beyond that is taken.
    expect(sent).toBeLessThan(200);
    socket.destroy();
  });

  test("without a server the client is turned away; a used port is refused", async () => {
    const port = freePort();
    using _forwarder = forwardTcp("::1", port, { address: "127.0.0.1", port: 1 });
    expect(await ask(port, Buffer.from("x")).catch((error: NodeJS.ErrnoException) => error.code)).toBe("ECONNRESET");
    expect(() => forwardTcp("::1", port, target)).toThrow(PortUnavailable);
    expect(() => forwardTcp("2001:db8::1", port, target)).toThrow("cannot assign requested address");
  });

  test("disposing ends connections and frees the port", async () => {
    const port = freePort();
    const forwarder = forwardTcp("::1", port, target);
    const socket = connect({ host: "::1", port });
    const closed = new Promise((resolve) => socket.on("close", resolve));
    socket.on("error", () => undefined);
    await new Promise((resolve) => {
      socket.on("data", resolve);
      socket.write("x");
    });
    forwarder[Symbol.dispose]();
    await closed;
    forwardTcp("::1", port, target)[Symbol.dispose]();
  });
});

describe.skipIf(!hasIpv6)("UDP", () => {
  test("answers find their client; IPv4's port of the same number stays free", async () => {
    const server = await Bun.udpSocket({
      hostname: "127.0.0.1",
      socket: { data: (socket, data, port, address) => void socket.send(`echo ${data}`, port, address) },
    });
    const port = freePort();
    const forwarder = forwardUdp("::1", port, { address: "127.0.0.1", port: server.port });
    expect(() => forwardUdp("::1", port, { address: "127.0.0.1", port: server.port })).toThrow(PortUnavailable);
    const answers = await Promise.all(
      ["a", "b"].map(async (text) => {
        const { promise, resolve } = Promise.withResolvers<string>();
        const client = await Bun.udpSocket({
          hostname: "::1",
          connect: { hostname: "::1", port },
          socket: { data: (_socket, data) => resolve(data.toString()) },
        });
        client.send(text);
        const answer = await promise;
        client.close();
        return answer;
      }),
    );
    expect(answers).toEqual(["echo a", "echo b"]);
    forwarder[Symbol.dispose]();
    server.close();
    // v6-only, or this would collide with the next line's address.
    const any = forwardUdp("::", port, { address: "127.0.0.1", port: 9 });
    const other = await Bun.udpSocket({ hostname: "0.0.0.0", port });
    other.close();
    any[Symbol.dispose]();
  });
});
