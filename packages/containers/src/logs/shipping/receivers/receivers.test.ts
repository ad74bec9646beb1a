/** Each protocol against a small real receiver on this machine. */
import { afterEach, describe, expect, test } from "bun:test";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { gunzipSync, inflateSync } from "node:zlib";
import { clientPair, serverPair, temporaryDirectory, testAuthority, until } from "@fathom/base/testing";
import { createSys, SysError } from "@fathom/sys";
import type { Receiver, ShippedRecord } from "../destination.ts";
import { ReceiverUnreachable } from "../destination.ts";
import type { DatagramSys } from "./datagrams.ts";
import { gelfChunks } from "./gelf.ts";
import { journalMessage } from "./journald.ts";
import { pack, type Packable } from "./message-pack.ts";
import { openReceiver } from "./open.ts";
import { syslogMessage } from "./syslog.ts";

const sys = createSys();
const record = (line: string, stream: ShippedRecord["stream"] = "stdout"): ShippedRecord => ({
  stream,
  line: Buffer.from(line),
  timeNs: 1_700_000_000_123_456_789n,
});

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** What a stream server received. */
async function streamServer(place: number | string = 0, answer?: (data: Buffer, socket: Socket) => void) {
  const received: Buffer[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("data", (data) => {
      received.push(Buffer.from(data));
      answer?.(Buffer.from(data), socket);
    });
  });
  await new Promise<void>((resolve) =>
    typeof place === "string" ? server.listen(place, resolve) : server.listen(place, "127.0.0.1", resolve),
  );
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  const bound = server.address();
  return {
    port: typeof bound === "object" ? ((bound satisfies AddressInfo | null)?.port ?? 0) : 0,
    all: () => Buffer.concat(received),
  };
}

async function udpServer(): Promise<{ readonly port: number; readonly datagrams: Buffer[] }> {
  const socket: UdpSocket = createSocket("udp4");
  const datagrams: Buffer[] = [];
  socket.on("message", (data) => datagrams.push(data));
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  closers.push(() => socket.close());
  return { port: socket.address().port, datagrams };
}

/** The runtime has no unix datagram sockets: test/daemon/log-drivers.test.ts has a real one. */
function datagramSys(): { readonly sys: DatagramSys; readonly datagrams: string[]; readonly paths: Set<string> } {
  const datagrams: string[] = [];
  const paths = new Set<string>();
  let full = true;
  const sendDatagram = (path: string, data: Uint8Array): void => {
    // Every second call finds a full queue.
    full = !full;
    if (full) throw new SysError("sendto", 11, path);
    paths.add(path);
    datagrams.push(Buffer.from(data).toString());
  };
  return { sys: { sendDatagram }, datagrams, paths };
}

async function send(receiver: Receiver, records: readonly ShippedRecord[], through: DatagramSys = sys): Promise<void> {
  const connection = await openReceiver(through, receiver);
  await connection.send(records);
  await connection.close();
}

const syslog = { kind: "syslog", facility: 3, format: "rfc5424micro", tag: "web" } as const;

describe("syslog", () => {
  test("the four formats", () => {
    const facts = { hostname: "box", pid: 77 };
    const write = (format: "unix" | "rfc3164" | "rfc5424" | "rfc5424micro", counted = false) =>
      syslogMessage({ facility: 3, format, tag: "web" }, record("hello", "stderr"), facts, counted).toString();
    const stamp = String.raw`Nov 1[45] \d\d:13:20`;
    const day = String.raw`2023-11-1[45]T\d\d:13:20`;
    const zone = String.raw`(Z|[+-]\d\d:\d\d)`;
    expect(write("unix")).toMatch(new RegExp(`^<27>${stamp} web\\[77\\]: hello\n$`));
    expect(write("rfc3164")).toMatch(new RegExp(`^<27>${stamp} box web\\[77\\]: hello\n$`));
    expect(write("rfc5424")).toMatch(new RegExp(`^<27>1 ${day}${zone} box web 77 web - hello\n$`));
    const micro = write("rfc5424micro");
    expect(micro).toMatch(new RegExp(`^<27>1 ${day}\\.123456${zone} box web 77 web - hello\n$`));
    expect(write("rfc5424micro", true)).toBe(`${micro.length} ${micro}`);
  });

  test("udp: a datagram for each record, and none for an empty line", async () => {
    const server = await udpServer();
    await send({ ...syslog, place: { kind: "udp", host: "localhost", port: server.port } }, [
      record("one"),
      record(""),
      record("two", "stderr"),
    ]);
    await until("both datagrams arrive", () => server.datagrams.length === 2);
    expect(server.datagrams.map((data) => /^<(\d+)>.* - (.*)\n$/.exec(data.toString())?.slice(1))).toEqual([
      ["30", "one"],
      ["27", "two"],
    ]);
  });

  test("tcp and unix streams", async () => {
    using directory = temporaryDirectory("syslog");
    const path = join(directory.path, "log");
    const [tcp, unix] = [await streamServer(), await streamServer(path)];
    await send({ ...syslog, place: { kind: "tcp", host: "127.0.0.1", port: tcp.port } }, [record("a"), record("b")]);
    await send({ ...syslog, place: { kind: "unix", path } }, [record("c")]);
    await until(
      "both streams arrive",
      () => tcp.all().toString().endsWith("b\n") && unix.all().toString().endsWith("c\n"),
    );
    expect(
      tcp
        .all()
        .toString()
        .match(/ - .\n/g),
    ).toEqual([" - a\n", " - b\n"]);
  });

  test("tls: messages with their length, a client's certificate, and no receiver that nobody vouches for", async () => {
    using directory = temporaryDirectory("syslog");
    const file = (name: string, text: string): string => {
      writeFileSync(join(directory.path, name), text);
      return join(directory.path, name);
    };
    const received: Buffer[] = [];
    const names: unknown[] = [];
    const server = createTlsServer(
      {
        cert: serverPair.certificate,
        key: serverPair.key,
        ca: testAuthority,
        requestCert: true,
        rejectUnauthorized: false,
      },
      (socket) => {
        names.push(socket.getPeerCertificate()?.subject?.CN);
        socket.on("data", (data) => received.push(Buffer.from(data)));
        socket.on("error", () => undefined);
      },
    );
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.push(() => server.close());
    const bound = server.address();
    const port = typeof bound === "object" && bound !== null ? bound.port : 0;
    const place = { kind: "tls", host: "127.0.0.1", port } as const;
    const ca = file("ca.pem", testAuthority);
    const identity = {
      verify: true,
      ca,
      certificate: file("cert.pem", clientPair.certificate),
      key: file("key.pem", clientPair.key),
    };
    await send({ ...syslog, place: { ...place, identity } }, [record("a"), record("b")]);
    await until("both messages arrive", () => Buffer.concat(received).toString().endsWith("b\n"));
    const text = Buffer.concat(received).toString();
    const [, length, first] = /^(\d+) ([^]*a\n)/.exec(text)!;
    expect([Number(length), names[0]]).toEqual([first!.length, expect.any(String)]);
    await expect(openReceiver(sys, { ...syslog, place: { ...place, identity: { verify: true } } })).rejects.toThrow(
      ReceiverUnreachable,
    );
    // syslog-tls-skip-verify
    await send({ ...syslog, place: { ...place, identity: { verify: false } } }, [record("c")]);
    await until("the third message arrives", () => Buffer.concat(received).toString().endsWith("c\n"));
  });

  test("unix datagrams, also to a receiver whose queue is full for a moment", async () => {
    const fake = datagramSys();
    await send({ ...syslog, place: { kind: "unixgram", path: "/log" } }, [record("a"), record("b")], fake.sys);
    expect([[...fake.paths], fake.datagrams.map((text) => text.slice(-4))]).toEqual([["/log"], ["- a\n", "- b\n"]]);
  });

  test("a receiver that cannot be reached is named, with the system's reason", async () => {
    const server = await streamServer();
    const { port } = server;
    for (const close of closers.splice(0)) await close();
    const opened = openReceiver(sys, { ...syslog, place: { kind: "tcp", host: "127.0.0.1", port } });
    const failure = await opened.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(ReceiverUnreachable);
    expect(failure).toMatchObject({ network: "tcp", address: `127.0.0.1:${port}`, reason: "ECONNREFUSED" });
  });
});

const gelfFields = { _container_name: "web", _tag: "t" };

describe("gelf", () => {
  const fields = (data: Buffer): unknown => JSON.parse(data.toString());
  const expected = (line: string, level: number) => ({
    version: "1.1",
    host: hostname(),
    short_message: line,
    timestamp: 1_700_000_000.123,
    level,
    ...gelfFields,
  });

  test("udp: compressed, and in chunks when it is large", async () => {
    const server = await udpServer();
    const place = { kind: "udp", host: "127.0.0.1", port: server.port } as const;
    const one = { kind: "gelf", place, level: 1, fields: gelfFields } as const;
    const long = Array.from({ length: 4000 }, (_none, index) => String.fromCharCode(33 + ((index * 7919) % 90))).join(
      "",
    );
    await send({ ...one, compression: "gzip" }, [record("small")]);
    await send({ ...one, compression: "zlib" }, [record("small", "stderr")]);
    await send({ ...one, compression: "none" }, [record(long)]);
    await until("five datagrams arrive", () => server.datagrams.length === 5);
    const [gzip, zlib, ...chunks] = server.datagrams;
    expect(fields(gunzipSync(gzip!))).toEqual(expected("small", 6));
    expect(fields(inflateSync(zlib!))).toEqual(expected("small", 3));
    for (const [index, chunk] of chunks.entries()) {
      expect([...chunk.subarray(0, 2), ...chunk.subarray(10, 12)]).toEqual([0x1e, 0x0f, index, 3]);
      expect(chunk.subarray(2, 10)).toEqual(chunks[0]!.subarray(2, 10));
      expect(chunk.length).toBeLessThanOrEqual(1420);
    }
    expect(fields(Buffer.concat(chunks.map((chunk) => chunk.subarray(12))))).toEqual(expected(long, 6));
  });

  test("a message that needs more than 128 chunks is refused, the largest that fits is sent", () => {
    expect(gelfChunks(Buffer.alloc(1420))).toHaveLength(1);
    expect(gelfChunks(Buffer.alloc(128 * 1408))).toHaveLength(128);
    expect(() => gelfChunks(Buffer.alloc(128 * 1408 + 1))).toThrow("more than 128 chunks");
  });

  test("tcp: each message ends with a zero byte", async () => {
    const server = await streamServer();
    const place = { kind: "tcp", host: "127.0.0.1", port: server.port } as const;
    await send({ kind: "gelf", place, compression: "gzip", level: 1, fields: gelfFields }, [
      record("a"),
      record(""),
      record("b"),
    ]);
    await until("both messages arrive", () => server.all().filter((byte) => byte === 0).length === 2);
    const [a, b, rest] = server.all().toString().split("\0");
    expect([fields(Buffer.from(a!)), fields(Buffer.from(b!)), rest]).toEqual([expected("a", 6), expected("b", 6), ""]);
  });
});

/** A reader of MessagePack, for what Fluentd's clients write. */
function unpack(data: Buffer): unknown[] {
  let at = 0;
  const take = (count: number): Buffer => data.subarray(at, (at += count));
  const text = (length: number): string => take(length).toString();
  const list = (length: number): unknown[] => Array.from({ length }, value);
  const map = (length: number): Record<string, unknown> =>
    Object.fromEntries(Array.from({ length }, () => [String(value()), value()]));
  function value(): unknown {
    const type = data[at++]!;
    if (type < 0x80) return type;
    if (type < 0x90) return map(type & 15);
    if (type < 0xa0) return list(type & 15);
    if (type < 0xc0) return text(type & 31);
    switch (type) {
      case 0xce:
        return take(4).readUInt32BE();
      case 0xd7:
        return { type: take(1)[0], seconds: take(4).readUInt32BE(), nanoseconds: take(4).readUInt32BE() };
      case 0xd9:
        return text(take(1)[0]!);
      case 0xda:
        return text(take(2).readUInt16BE());
      case 0xdb:
        return text(take(4).readUInt32BE());
      case 0xdc:
        return list(take(2).readUInt16BE());
      case 0xde:
        return map(take(2).readUInt16BE());
    }
    throw new Error(`unknown type ${type}`);
  }
  const values: unknown[] = [];
  while (at < data.length) values.push(value());
  return values;
}

describe("fluentd", () => {
  const fields = { container_id: "c1", container_name: "/web" };
  const plain = { kind: "fluentd", tag: "t", fields, subSecondPrecision: false, requestAck: false } as const;

  test("MessagePack of all lengths", () => {
    const texts = [0, 31, 32, 255, 256, 65_535, 65_536].map((length) => "x".repeat(length));
    const values: Packable[] = [
      ...texts,
      0,
      127,
      128,
      2 ** 32 - 1,
      Array.from({ length: 20 }, () => 1),
      new Map([["k", "v"]]),
    ];
    expect(unpack(Buffer.concat(values.map(pack)))).toEqual(
      values.map((value) => (value instanceof Map ? Object.fromEntries(value) : value)),
    );
  });

  test("a message for each record, with its piece of a long line", async () => {
    const server = await streamServer();
    const place = { kind: "tcp", host: "127.0.0.1", port: server.port } as const;
    const piece = { id: "p", ordinal: 2, last: true };
    await send({ ...plain, place }, [record("one"), { ...record("two", "stderr"), piece }]);
    await send({ ...plain, place, subSecondPrecision: true }, [record("three")]);
    await until("all messages arrive", () => server.all().includes("three"));
    const seconds = 1_700_000_000;
    expect(unpack(server.all())).toEqual([
      ["t", seconds, { ...fields, source: "stdout", log: "one" }, {}],
      [
        "t",
        seconds,
        {
          ...fields,
          source: "stderr",
          log: "two",
          partial_message: "true",
          partial_id: "p",
          partial_ordinal: "2",
          partial_last: "true",
        },
        {},
      ],
      ["t", { type: 0, seconds, nanoseconds: 123_456_789 }, { ...fields, source: "stdout", log: "three" }, {}],
    ]);
  });

  test("with request-ack a record counts only when the receiver has confirmed it", async () => {
    const server = await streamServer(0, (data, socket) => {
      const [, , , option] = unpack(data)[0] as [unknown, unknown, unknown, { chunk: string }];
      socket.write(pack(new Map([["ack", option.chunk]])));
    });
    const place = { kind: "tcp", host: "127.0.0.1", port: server.port } as const;
    await send({ ...plain, place, requestAck: true }, [record("a"), record("b")]);
    expect(unpack(server.all())).toHaveLength(2);
    const silent = await streamServer();
    const mute = { kind: "tcp", host: "127.0.0.1", port: silent.port } as const;
    await expect(send({ ...plain, place: mute, requestAck: true, readLimitMs: 50 }, [record("a")])).rejects.toThrow(
      "the receiver confirmed nothing",
    );
  });
});

describe("journald", () => {
  test("a datagram for each record: fields of one line, and others with their length", async () => {
    using directory = temporaryDirectory("journal");
    const socket = join(directory.path, "socket");
    writeFileSync(socket, "");
    const fake = datagramSys();
    await send(
      { kind: "journald", socket, fields: { CONTAINER_NAME: "web" } },
      [record("one"), { ...record("two", "stderr"), piece: { id: "p", ordinal: 1, last: false } }],
      fake.sys,
    );
    const [one, two] = fake.datagrams.map((text) => text.split("\n"));
    expect(one).toEqual([
      "MESSAGE=one",
      "PRIORITY=6",
      "CONTAINER_NAME=web",
      "SYSLOG_TIMESTAMP=2023-11-14T22:13:20.123456789Z",
      expect.stringMatching(/^CONTAINER_LOG_EPOCH=[0-9a-f]+$/),
      "CONTAINER_LOG_ORDINAL=1",
      "",
    ]);
    expect(two).toContain("PRIORITY=3");
    expect(two).toContain("CONTAINER_LOG_ORDINAL=2");
    expect(two).toContain("CONTAINER_PARTIAL_MESSAGE=true");
  });

  test("a text with newlines has its length before it", () => {
    const message = journalMessage({}, record("a\nb"), "e", 1);
    expect(message.subarray(0, 20)).toEqual(Buffer.from("MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n"));
  });

  test("without a journal there is no connection", async () => {
    using directory = temporaryDirectory("journal");
    const socket = join(directory.path, "none");
    await expect(openReceiver(sys, { kind: "journald", socket, fields: {} })).rejects.toThrow(ReceiverUnreachable);
  });
});
