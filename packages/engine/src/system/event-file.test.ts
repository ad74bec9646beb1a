import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory, type TemporaryDirectory } from "@fathom/base/testing";
import type { EventMessage } from "@fathom/spec";
import { EventFile, type EventFileOptions, type PastRange } from "./event-file.ts";

let directory: TemporaryDirectory;
let failures: unknown[];
beforeEach(() => {
  directory = temporaryDirectory("event-file");
  failures = [];
});
afterEach(() => directory[Symbol.dispose]());

const everything: PastRange = { since: undefined, until: undefined, before: undefined };

function open(more: Partial<EventFileOptions> = {}): EventFile {
  return new EventFile({ directory: join(directory.path, "events"), failed: (error) => failures.push(error), ...more });
}

/** `time` in nanoseconds: beyond what a number holds exactly. */
function event(id: string, time = 1_700_000_000_000_000_001n): EventMessage {
  return {
    status: "start",
    id,
    from: "x",
    Type: "container",
    Action: "start",
    Actor: { ID: id, Attributes: { name: `name of ${id}` } },
    scope: "local",
    time: Number(time / 1_000_000_000n),
    timeNano: time,
  };
}

async function read(file: EventFile, range: Partial<PastRange> = {}): Promise<EventMessage[]> {
  const all: EventMessage[] = [];
  for await (const one of file.read({ ...everything, ...range })) all.push(one);
  return all;
}

const ids = async (file: EventFile, range: Partial<PastRange> = {}): Promise<string[]> =>
  (await read(file, range)).map(({ Actor }) => Actor.ID);

test("the next daemon reads the events exactly as they were", async () => {
  const first = open();
  first.append(event("a"));
  first.append(event("b", -5n));
  first.close();
  const second = open();
  second.append(event("c"));
  expect(await read(second)).toEqual([event("a"), event("b", -5n), event("c")]);
  second.close();
});

test("at least the newest events of one file are kept, in two files", async () => {
  const file = open({ fileEvents: 10 });
  for (let index = 0; index < 95; index++) {
    file.append(event(String(index), BigInt(index)));
    file.flush();
  }
  const kept = await ids(file);
  expect(kept.length).toBeGreaterThanOrEqual(10);
  expect(kept.length).toBeLessThanOrEqual(20);
  expect(kept).toEqual(Array.from({ length: kept.length }, (_, index) => String(95 - kept.length + index)));
  expect(readdirSync(join(directory.path, "events")).sort()).toEqual(["current.jsonl", "previous.jsonl"]);
  file.close();
});

test("a range, and the end before a given event", async () => {
  const file = open();
  for (let index = 0; index < 10; index++) file.append(event(String(index), BigInt(100 + index)));
  expect(await ids(file, { since: 103n, until: 105n })).toEqual(["3", "4", "5"]);
  expect(await ids(file, { since: 107n, before: 109n })).toEqual(["7", "8"]);
  file.close();
});

test("a line that a kill cut off and bytes that are no event are skipped", async () => {
  const first = open();
  first.append(event("a"));
  first.close();
  const path = join(directory.path, "events", "current.jsonl");
  appendFileSync(path, 'garbage\n17 {"Type":5}\n18 {}\n');
  appendFileSync(path, '1700000000000000002 {"Type":"container","Act');
  const second = open();
  second.append(event("b"));
  expect(await ids(second)).toEqual(["a", "b"]);
  second.close();
});

test("lines of any length, also longer than what is read at a time", async () => {
  const file = open();
  const long = { ...event("long"), Actor: { ID: "long", Attributes: { label: "ä".repeat(400_000) } } };
  file.append(event("a"));
  file.append(long);
  file.append(event("b"));
  expect(await read(file)).toEqual([event("a"), long, event("b")]);
  file.close();
});

test("events that cannot be stored are stored later, and the log says it once", async () => {
  const blocked = join(directory.path, "events");
  writeFileSync(blocked, "");
  const file = open();
  file.append(event("a"));
  file.flush();
  file.append(event("b"));
  file.flush();
  expect(failures).toHaveLength(1);
  rmSync(blocked);
  file.append(event("c"));
  expect(await ids(file)).toEqual(["a", "b", "c"]);
  file.close();
});

test("on a full disk no descriptors are left, and the events are stored when there is room", async () => {
  const folder = join(directory.path, "events");
  mkdirSync(folder);
  expect(Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=16k", "events", folder]).exitCode).toBe(0);
  try {
    // One page each, and nothing is left of the disk.
    writeFileSync(join(folder, "current.jsonl"), "x".repeat(4096));
    const filler = join(folder, "filler");
    expect(() => writeFileSync(filler, "x".repeat(64 << 10))).toThrow("ENOSPC");
    const file = open();
    const before = readdirSync("/proc/self/fd").length;
    for (let index = 0; index < 20; index++) {
      file.append(event(String(index)));
      file.flush();
    }
    expect(readdirSync("/proc/self/fd").length).toBe(before);
    expect(failures).toHaveLength(1);
    rmSync(filler);
    expect(await ids(file)).toEqual(Array.from({ length: 20 }, (_, index) => String(index)));
    file.close();
  } finally {
    Bun.spawnSync(["umount", "-l", folder]);
  }
});

test("a file that somebody has removed is made anew", async () => {
  const file = open({ fileEvents: 1 });
  file.append(event("a"));
  file.flush();
  rmSync(join(directory.path, "events"), { recursive: true });
  file.append(event("b"));
  expect(await ids(file)).toEqual(["b"]);
  expect(failures).toEqual([]);
  file.close();
});

test("the files belong to root alone, because attributes may be secrets", () => {
  const file = open();
  file.append(event("a"));
  file.close();
  const folder = join(directory.path, "events");
  expect([statSync(folder).mode & 0o777, statSync(join(folder, "current.jsonl")).mode & 0o777]).toEqual([0o700, 0o600]);
});

test("without any event there is nothing to read, and nothing is made", async () => {
  const file = open();
  expect(await ids(file)).toEqual([]);
  expect(readdirSync(directory.path)).toEqual([]);
  file.close();
});
