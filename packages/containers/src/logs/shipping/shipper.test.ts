import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLogger, deferred, silentLogger, type Deferred } from "@fathom/base";
import { temporaryDirectory, until, type TemporaryDirectory } from "@fathom/base/testing";
import type { LogDestination, ReceiverConnection, ShippedRecord } from "./destination.ts";
import { Shipper, type ShipperParts } from "./shipper.ts";

let directory: TemporaryDirectory;
let spool: string;
beforeEach(() => {
  directory = temporaryDirectory("shipper");
  spool = join(directory.path, "container-cached.log");
});
afterEach(() => directory[Symbol.dispose]());

const line = (text: string, time = "2026-01-01T00:00:00Z"): string =>
  `${JSON.stringify({ log: text, stream: "stdout", time })}\n`;
const lines = (from: number, to: number): string => {
  let text = "";
  for (let n = from; n <= to; n++) text += line(`line${n}\n`);
  return text;
};
const texts = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_none, index) => `line${from + index}`);

/** A receiver in memory that can be away, and can hang. */
class FakeReceiver {
  readonly got: ShippedRecord[] = [];
  readonly connections: number[] = [];
  away = false;
  hangs: Deferred<void> | undefined;
  /** Connections are old after one batch. */
  getOld = false;
  /** It hangs only from this record on. */
  hangsFrom = 0;
  open = async (): Promise<ReceiverConnection> => {
    if (this.away) throw new Error("nobody is there");
    this.connections.push(this.got.length);
    const first = this.got.length;
    return {
      isOld: () => this.getOld && this.got.length > first,
      send: async (records) => {
        if (this.away) throw new Error("it has left");
        if (this.got.length >= this.hangsFrom) await this.hangs?.promise;
        this.got.push(...records);
      },
      close: async () => undefined,
    };
  };

  get texts(): string[] {
    return this.got.map((record) => record.line.toString());
  }
}

const reliable: LogDestination = {
  receiver: { kind: "journald", socket: "", fields: {} },
  connectFirst: false,
  buffer: { bytes: 1024 * 1024, lossy: false },
  retry: { waitMs: 5, most: Number.POSITIVE_INFINITY },
};

/** A container that writes until `end`. */
function running(receiver: FakeReceiver, destination = reliable, more: Partial<ShipperParts> = {}) {
  let alive = true;
  let wake = deferred<void>();
  const shipper = new Shipper(
    {
      id: "c1",
      spool,
      position: join(directory.path, "log-position"),
      destination,
      open: receiver.open,
      alive: () => alive,
      changed: async (signal) => {
        signal.addEventListener("abort", () => wake.resolve(), { once: true });
        await wake.promise;
        wake = deferred<void>();
      },
      logger: silentLogger,
      ...more,
    },
    undefined,
  );
  return {
    shipper,
    write: (text: string) => {
      appendFileSync(spool, text);
      wake.resolve();
    },
    end: async () => {
      alive = false;
      wake.resolve();
      await shipper.ended;
    },
  };
}

test("everything arrives once and in order, also what was written before the shipper began and at the container's end", async () => {
  const receiver = new FakeReceiver();
  writeFileSync(spool, lines(1, 3));
  const container = running(receiver);
  container.write(lines(4, 2000));
  await until("the lines arrive", () => receiver.got.length === 2000);
  container.write(lines(2001, 2002));
  await container.end();
  expect(receiver.texts).toEqual(texts(1, 2002));
});

test("the next daemon continues where the receiver was, also when it was killed", async () => {
  const receiver = new FakeReceiver();
  writeFileSync(spool, lines(1, 10));
  const first = running(receiver);
  await until("the lines arrive", () => receiver.got.length === 10);
  await first.shipper.stop();
  appendFileSync(spool, lines(11, 20));
  await running(receiver).end();
  expect(receiver.texts).toEqual(texts(1, 20));
  // Nothing is left for the third.
  await running(receiver).end();
  expect(receiver.got).toHaveLength(20);
});

test("a position of another file with the same inode, or half a position, means everything again", async () => {
  const receiver = new FakeReceiver();
  writeFileSync(spool, lines(1, 10));
  await running(receiver).end();
  const position = join(directory.path, "log-position");
  const stored = readFileSync(position, "utf8");
  writeFileSync(position, stored.replace(/"hash":"./, '"hash":"_'));
  await running(receiver).end();
  expect(receiver.texts).toEqual([
    ...texts(1, 10),
    "fathom: log files were removed; records may be missing here",
    ...texts(1, 10),
  ]);
  writeFileSync(position, stored.slice(0, 170));
  receiver.got.length = 0;
  await running(receiver).end();
  expect(receiver.texts).toEqual(texts(1, 10));
});

test("rotations lose nothing, whether the shipper works or not", async () => {
  const receiver = new FakeReceiver();
  const rotate = (): void => {
    try {
      renameSync(`${spool}.1`, `${spool}.2`);
    } catch {
      // There is no older file yet.
    }
    renameSync(spool, `${spool}.1`);
    writeFileSync(spool, "");
  };
  writeFileSync(spool, lines(1, 5));
  const first = running(receiver);
  await until("the lines arrive", () => receiver.got.length === 5);
  rotate();
  first.write(lines(6, 8));
  await until("the lines of the second file arrive", () => receiver.got.length === 8);
  await first.shipper.stop();
  appendFileSync(spool, lines(9, 10));
  rotate();
  appendFileSync(spool, lines(11, 12));
  await running(receiver).end();
  expect(receiver.texts).toEqual(texts(1, 12));
});

test("when a rotation removed unsent records, the receiver is told", async () => {
  const receiver = new FakeReceiver();
  writeFileSync(spool, lines(1, 3));
  await running(receiver).end();
  // The old file keeps its inode while it has another name.
  renameSync(spool, `${spool}.old`);
  writeFileSync(spool, lines(7, 8));
  unlinkSync(`${spool}.old`);
  await running(receiver).end();
  expect(receiver.texts).toEqual([
    ...texts(1, 3),
    "fathom: log files were removed; records may be missing here",
    ...texts(7, 8),
  ]);
});

test("a receiver that is away while the spool is replaced is told too; with one file nobody knows", async () => {
  const receiver = new FakeReceiver();
  const container = running(receiver);
  container.write(lines(1, 2));
  await until("the lines arrive", () => receiver.got.length === 2);
  unlinkSync(spool);
  writeFileSync(spool, lines(3, 4));
  container.write("");
  await until("the next file is sent", () => receiver.got.length === 4);
  // Two rotations at once: the shipper's file is gone, and perhaps another.
  unlinkSync(spool);
  writeFileSync(`${spool}.1`, lines(7, 8));
  container.write(lines(9, 10));
  await container.end();
  expect(receiver.texts).toEqual([
    ...texts(1, 4),
    "fathom: log files were removed; records may be missing here",
    ...texts(7, 10),
  ]);
});

test("a receiver that leaves gets everything when it is back", async () => {
  const receiver = new FakeReceiver();
  const said: string[] = [];
  const logger = createLogger("warn", { write: (text) => void said.push(text) });
  const container = running(receiver, reliable, { logger });
  container.write(lines(1, 3));
  await until("the lines arrive", () => receiver.got.length === 3);
  receiver.away = true;
  container.write(lines(4, 6));
  const ended = container.end();
  await until("several tries have failed", () => said.length === 3);
  receiver.away = false;
  await ended;
  expect(receiver.texts).toEqual(texts(1, 6));
});

test("an old connection is replaced before the next batch, and that is no failure", async () => {
  const receiver = new FakeReceiver();
  receiver.getOld = true;
  const said: string[] = [];
  const logger = createLogger("debug", { write: (text) => void said.push(text) });
  const container = running(receiver, reliable, { logger });
  container.write(lines(1, 2));
  await until("the first lines arrive", () => receiver.got.length === 2);
  container.write(lines(3, 4));
  await container.end();
  expect([receiver.connections, receiver.texts, said]).toEqual([[0, 2], texts(1, 4), []]);
});

test("after the last try a batch is dropped, and its number is in the daemon's log", async () => {
  const receiver = new FakeReceiver();
  receiver.away = true;
  const said: string[] = [];
  const logger = createLogger("warn", { write: (text) => void said.push(text) });
  const container = running(receiver, { ...reliable, retry: { waitMs: 1, most: 3 } }, { logger });
  container.write(lines(1, 4));
  await container.end();
  // The first new connection is made without a word.
  expect(said.filter((text) => text.includes("tried again"))).toHaveLength(1);
  expect(said.at(-1)).toMatch(/dropped.*records=4/);
});

test("a lossy buffer drops and counts what a receiver does not take; the rest arrives", async () => {
  const receiver = new FakeReceiver();
  receiver.hangs = deferred<void>();
  const said: string[] = [];
  const logger = createLogger("warn", { write: (text) => void said.push(text) });
  const buffer = { bytes: 100, lossy: true };
  const container = running(receiver, { ...reliable, buffer }, { logger });
  // Each has five bytes.
  container.write(Array.from({ length: 50 }, (_none, n) => line(`n${String(n).padStart(4, "0")}\n`)).join(""));
  const ended = container.end();
  // The ring is full, and what follows has no room.
  await until("a daemon would be able to work meanwhile", () => Bun.peek.status(ended) === "pending");
  // sleep: longer than the grace that a lossy buffer gives a receiver
  await Bun.sleep(300);
  receiver.hangs.resolve();
  await ended;
  const kept = receiver.texts.length;
  expect(kept).toBeGreaterThan(0);
  expect(kept).toBeLessThan(50);
  expect(receiver.texts).toEqual(Array.from({ length: kept }, (_none, n) => `n${String(n).padStart(4, "0")}`));
  expect(said.at(-1)).toMatch(new RegExp(`dropped.*records=${50 - kept}\\b`));
});

test("a lossy buffer drops nothing for a receiver that works", async () => {
  const receiver = new FakeReceiver();
  const container = running(receiver, { ...reliable, buffer: { bytes: 100, lossy: true } });
  container.write(lines(1, 5000));
  await container.end();
  expect(receiver.texts).toEqual(texts(1, 5000));
});

test("a stop does not wait for a receiver that hangs, and loses nothing", async () => {
  const receiver = new FakeReceiver();
  receiver.hangs = deferred<void>();
  const container = running(receiver);
  container.write(lines(1, 3));
  await until("it is connected", () => receiver.connections.length === 1);
  await container.shipper.stop();
  receiver.hangs = undefined;
  await running(receiver).end();
  expect(receiver.texts.slice(-3)).toEqual(texts(1, 3));
});

test("a stop does not wait for a receiver that cannot be reached, and closes the connection that is made later", async () => {
  const opening = deferred<ReceiverConnection>();
  const asked = deferred<void>();
  const closed = deferred<void>();
  const open = (): Promise<ReceiverConnection> => {
    asked.resolve();
    return opening.promise;
  };
  const container = running(new FakeReceiver(), reliable, { open });
  container.write(lines(1, 3));
  await asked.promise;
  await container.shipper.stop();
  opening.resolve({ send: async () => undefined, close: async () => closed.resolve() });
  await closed.promise;
});

test("a daemon that is killed while a receiver hangs sends only the rest again", async () => {
  const receiver = new FakeReceiver();
  const container = running(receiver, { ...reliable, buffer: { bytes: 1000, lossy: false } });
  writeFileSync(spool, lines(1, 4000));
  receiver.hangs = deferred<void>();
  receiver.hangsFrom = 1500;
  container.write("");
  await until("some lines arrive", () => receiver.got.length >= 1500);
  await container.shipper.stop();
  const before = receiver.got.length;
  expect(before).toBeLessThan(4000);
  receiver.hangs = undefined;
  receiver.got.length = 0;
  await running(receiver).end();
  // A part of the spool has about a thousand lines.
  const [first] = receiver.texts;
  expect(Number(first?.slice("line".length))).toBeGreaterThan(before - 1500);
  expect(receiver.texts).toEqual(texts(Number(first?.slice("line".length)), 4000));
});

test("the pieces of a long line have one id and numbers, and the last is marked", async () => {
  const receiver = new FakeReceiver();
  writeFileSync(
    spool,
    line("whole\n") +
      line("a", "2026-01-01T00:00:01Z") +
      line("b", "2026-01-01T00:00:01Z") +
      line("c\n", "2026-01-01T00:00:01Z"),
  );
  await running(receiver).end();
  const id = receiver.got[1]!.piece?.id;
  expect(receiver.got.map(({ line: text, piece }) => [text.toString(), piece])).toEqual([
    ["whole", undefined],
    ["a", { id: expect.any(String), ordinal: 1, last: false }],
    ["b", { id: id!, ordinal: 2, last: false }],
    ["c", { id: id!, ordinal: 3, last: true }],
  ]);
});
