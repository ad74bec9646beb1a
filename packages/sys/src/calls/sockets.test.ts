import { describe, expect, test } from "bun:test";
import { mkdirSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { O_DIRECTORY, O_PATH, SOCK_SEQPACKET, SOCK_STREAM } from "../constants.ts";
import { bytes, isRoot, sys, sysErrorOf, testDirectory, text } from "../testing/support.ts";
import { until } from "@fathom/base/testing";

describe("unix sockets by directory", () => {
  test("bytes that the peer has not read are seen", () => {
    const [one, other] = sys.socketpair(SOCK_STREAM, true);
    expect(sys.unsentBytes(one)).toBe(0);
    sys.sendMessage(one, bytes("hello"), []);
    expect(sys.unsentBytes(one)).toBeGreaterThan(0);
    sys.receiveMessage(other, 16);
    expect(sys.unsentBytes(one)).toBe(0);
    sys.close(other);
    sys.close(one);
    expect(sysErrorOf(() => sys.unsentBytes(one)).errnoName).toBe("EBADF");
  });

  test("listen with exactly the mode, at a path far beyond 108 bytes, and take connections", async () => {
    using dir = testDirectory();
    const deep = join(dir.path, ...Array.from({ length: 8 }, () => "d".repeat(100)));
    mkdirSync(deep, { recursive: true });
    const directory = sys.open(deep, O_PATH | O_DIRECTORY);
    const name = `${"a".repeat(64)}.sock`;
    const before = sys.umask(0o777);
    const listener = sys.listenUnix(directory, name, 0o620, 16);
    sys.umask(before);
    expect(statSync(join(deep, name)).mode & 0o7777).toBe(0o620);
    const server = createServer((socket) => socket.end("hello"));
    await new Promise<void>((resolve) => server.listen({ fd: listener }, resolve));
    const client = sys.connectUnix(directory, name);
    expect(sys.peerCredentials(client)).toEqual({
      pid: process.pid,
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
    });
    const buffer = new Uint8Array(16);
    let length = 0;
    sys.setNonBlocking(client, true);
    await until("something comes", () => (length = sys.read(client, buffer)) >= 0);
    expect(text(buffer.subarray(0, length))).toBe("hello");
    sys.close(client);
    await new Promise((resolve) => server.close(resolve));
    sys.close(directory);
  });

  test("errors say what is wrong", () => {
    using dir = testDirectory();
    expect(sysErrorOf(() => sys.connectUnix(dir.fd, "none")).errnoName).toBe("ENOENT");
    sys.close(sys.listenUnix(dir.fd, "stale", 0o600, 1));
    expect(sysErrorOf(() => sys.connectUnix(dir.fd, "stale")).errnoName).toBe("ECONNREFUSED");
    expect(sysErrorOf(() => sys.listenUnix(dir.fd, "stale", 0o600, 1)).errnoName).toBe("EADDRINUSE");
    expect(sysErrorOf(() => sys.listenUnix(dir.fd, "n".repeat(200), 0o600, 1)).errnoName).toBe("ENAMETOOLONG");
  });
});

describe("messages", () => {
  for (const [kind, type] of [
    ["stream", SOCK_STREAM],
    ["seqpacket", SOCK_SEQPACKET],
  ] as const) {
    test(`carry descriptors over a ${kind} socket`, () => {
      const [left, right] = sys.socketpair(type, true);
      expect(sys.receiveMessage(right, 64)).toBeUndefined();
      const [readEnd, writeEnd] = sys.pipe(0);
      sys.sendMessage(left, bytes("two"), [readEnd, writeEnd]);
      const received = sys.receiveMessage(right, 64);
      expect(text(received?.data ?? bytes(""))).toBe("two");
      const [otherRead, otherWrite] = received?.fds ?? [];
      sys.write(otherWrite ?? -1, bytes("through"));
      const buffer = new Uint8Array(16);
      expect(text(buffer.subarray(0, sys.read(readEnd, buffer)))).toBe("through");
      for (const fd of [readEnd, writeEnd, otherRead ?? -1, otherWrite ?? -1, left]) sys.close(fd);
      expect(sys.receiveMessage(right, 64)).toEqual({ data: new Uint8Array(), fds: [] });
      sys.close(right);
    });
  }

  test("as many as the kernel allows in one message, and not one more", () => {
    const [left, right] = sys.socketpair(SOCK_STREAM, true);
    sys.sendMessage(
      left,
      bytes("x"),
      Array.from({ length: 253 }, () => left),
    );
    const received = sys.receiveMessage(right, 1);
    expect(received?.fds.length).toBe(253);
    for (const fd of received?.fds ?? []) sys.close(fd);
    const tooMany = Array.from({ length: 254 }, () => left);
    expect(sysErrorOf(() => sys.sendMessage(left, bytes("x"), tooMany)).errnoName).toBe("EINVAL");
    sys.close(left);
    sys.close(right);
  });

  test("a cut packet fails, and its descriptors do not stay open", () => {
    const [left, right] = sys.socketpair(SOCK_SEQPACKET, true);
    const [readEnd, writeEnd] = sys.pipe(0);
    sys.sendMessage(left, bytes("long message"), [writeEnd]);
    sys.close(writeEnd);
    expect(sysErrorOf(() => sys.receiveMessage(right, 4)).errnoName).toBe("EMSGSIZE");
    // End of file proves that no copy of the write end is left.
    expect(sys.read(readEnd, new Uint8Array(1))).toBe(0);
    for (const fd of [left, right, readEnd]) sys.close(fd);
  });

  test("never wait: bytes that a full socket does not accept are not sent, and a listener that accepts nothing causes no wait", () => {
    const [left, right] = sys.socketpair(SOCK_STREAM, false);
    const chunk = new Uint8Array(100_000);
    let sent = 0;
    for (let got = 0; got >= 0; got = sys.sendMessage(left, chunk, [])) sent += got;
    let received = 0;
    for (let got = sys.receiveMessage(right, 1 << 20); got !== undefined; got = sys.receiveMessage(right, 1 << 20))
      received += got.data.length;
    expect(received).toBe(sent);
    for (const fd of [left, right]) sys.close(fd);

    using dir = testDirectory();
    const listener = sys.listenUnix(dir.fd, "deaf", 0o600, 1);
    const clients: number[] = [];
    const connect = (): void => void clients.push(sys.connectUnix(dir.fd, "deaf"));
    expect(
      sysErrorOf(() => {
        for (let count = 0; count < 100; count++) connect();
      }).errnoName,
    ).toBe("EAGAIN");
    for (const fd of [listener, ...clients]) sys.close(fd);
  });

  test("to a closed peer fail instead of killing the process", () => {
    const [left, right] = sys.socketpair(SOCK_STREAM, true);
    sys.close(right);
    expect(sysErrorOf(() => sys.sendMessage(left, bytes("x"), [])).errnoName).toBe("EPIPE");
    sys.close(left);
  });
});

describe.skipIf(!isRoot)("a reserved port (needs root)", () => {
  test("is taken, and answers nobody", async () => {
    const fd = sys.reservePort("tcp", "127.0.0.1", 0);
    sys.close(fd);
    const probe = createServer();
    await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
    const address = probe.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const taken = sysErrorOf(() => sys.reservePort("tcp", "127.0.0.1", port));
    expect(taken.message).toBe(`bind 127.0.0.1:${port}/tcp: Address already in use (EADDRINUSE)`);
    await new Promise((resolve) => probe.close(resolve));

    const reserved = sys.reservePort("tcp", "127.0.0.1", port);
    expect(sysErrorOf(() => sys.reservePort("tcp", "127.0.0.1", port)).errnoName).toBe("EADDRINUSE");
    const outcome = await Promise.race([
      Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } }).then(
        (socket) => {
          socket.end();
          return "connected";
        },
        () => "refused",
      ),
      // sleep: an answer on loopback comes within a millisecond
      Bun.sleep(300).then(() => "silence"),
    ]);
    expect(outcome).toBe("silence");
    sys.close(reserved);
  });

  test("for udp and IPv6, and not for a name", () => {
    const udp = sys.reservePort("udp", "127.0.0.1", 0);
    const six = sys.reservePort("tcp", "::1", 0);
    sys.close(udp);
    sys.close(six);
    expect(sysErrorOf(() => sys.reservePort("tcp", "localhost", 1)).errnoName).toBe("EINVAL");
    expect(sysErrorOf(() => sys.reservePort("tcp", "127.0.0.1", 65536)).errnoName).toBe("EINVAL");
  });
});

test("non-blocking can be turned on and off", () => {
  const [readEnd, writeEnd] = sys.pipe(0);
  sys.setNonBlocking(readEnd, true);
  expect(sys.read(readEnd, new Uint8Array(1))).toBe(-1);
  sys.setNonBlocking(readEnd, false);
  sys.write(writeEnd, bytes("x"));
  expect(sys.read(readEnd, new Uint8Array(1))).toBe(1);
  sys.close(readEnd);
  sys.close(writeEnd);
});
