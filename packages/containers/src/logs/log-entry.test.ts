import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { temporaryDirectory, type TemporaryDirectory } from "@fathom/base/testing";
import { EntrySplitter } from "./log-entry.ts";
import type { LogEntry } from "./log-record.ts";
import { streamLog, type LogDamage, type LogSelection } from "./log-stream.ts";

function varint(value: number | bigint): number[] {
  const bytes: number[] = [];
  for (let left = BigInt(value); ; left >>= 7n) {
    bytes.push(Number(left & 0x7fn) | (left < 0x80n ? 0 : 0x80));
    if (left < 0x80n) return bytes;
  }
}
const field = (number: number, bytes: Uint8Array | string): Buffer => {
  const data = Buffer.from(bytes);
  return Buffer.concat([Buffer.from([...varint((number << 3) | 2), ...varint(data.length)]), data]);
};
const value = (number: number, given: number | bigint): Buffer =>
  Buffer.from([...varint(number << 3), ...varint(given)]);

const second = 1_700_000_000_000_000_000n;

interface Given {
  readonly line: Uint8Array | string;
  readonly stream?: "stdout" | "stderr";
  readonly timeNs?: bigint;
  readonly piece?: { readonly last: boolean; readonly ordinal: number };
  readonly attributes?: Readonly<Record<string, string>>;
}

/** An entry as Docker writes it. */
function entry({ line, stream = "stdout", timeNs = second, piece, attributes = {} }: Given): Buffer {
  const message = Buffer.concat([
    field(1, stream),
    value(2, timeNs),
    ...(line.length === 0 ? [] : [field(3, line)]),
    ...(piece === undefined
      ? []
      : [
          value(4, 1),
          field(5, Buffer.concat([...(piece.last ? [value(1, 1)] : []), field(2, "id"), value(3, piece.ordinal)])),
        ]),
    ...Object.entries(attributes).map(([key, text]) => field(6, Buffer.concat([field(1, key), field(2, text)]))),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([length, message, length]);
}

const texts = (entries: readonly LogEntry[]): unknown[] =>
  entries.map((one) => (one.kind === "record" ? one.record.log : one.kind === "damage" ? one.bytes : one.what));

describe("EntrySplitter", () => {
  const bad = Uint8Array.of(0x61, 0xff, 0x62);
  const data = Buffer.concat([
    entry({ line: "one", attributes: { role: "web", tag: "t" } }),
    entry({ line: "", stream: "stderr", timeNs: second + 5n }),
    entry({ line: "begin ", piece: { last: false, ordinal: 1 } }),
    entry({ line: "end", piece: { last: true, ordinal: 2 } }),
    entry({ line: bad }),
  ]);

  test("records, with all their parts", () => {
    const entries = new EntrySplitter(100).push(data);
    expect(texts(entries)).toEqual(["one\n", "\n", "begin ", "end\n", "a\ufffdb\n"]);
    expect(entries[0]).toEqual({
      kind: "record",
      offset: 100,
      record: {
        log: "one\n",
        stream: "stdout",
        time: "2023-11-14T22:13:20Z",
        attributes: { role: "web", tag: "t" },
      },
    });
    expect(entries[1]).toMatchObject({ record: { stream: "stderr", time: "2023-11-14T22:13:20.000000005Z" } });
    expect(entries[4]).toMatchObject({ record: { bytes: Buffer.from([...bad, 10]) } });
  });

  test("in pieces of any size", () => {
    for (const size of [1, 2, 3, 7, 64]) {
      const splitter = new EntrySplitter(0);
      const entries: LogEntry[] = [];
      for (let at = 0; at < data.length; at += size) entries.push(...splitter.push(data.subarray(at, at + size)));
      expect([texts(entries), splitter.unfinished]).toEqual([["one\n", "\n", "begin ", "end\n", "a\ufffdb\n"], 0]);
    }
  });

  test("every whole entry is found between zeros, cut entries and garbage", () => {
    const whole = entry({ line: "whole" });
    for (const garbage of [
      Buffer.alloc(1000),
      whole.subarray(0, 20),
      Buffer.from("no entry at all, but long enough"),
      Buffer.concat([whole.subarray(0, whole.length - 1), Buffer.from([99])]),
    ]) {
      const splitter = new EntrySplitter(0);
      const entries = [...splitter.push(Buffer.concat([whole, garbage, whole])), ...splitter.end()];
      expect(texts(entries)).toEqual(["whole\n", garbage.length, "whole\n"]);
      expect(entries[2]?.offset).toBe(whole.length + garbage.length);
    }
  });

  test("half an entry at the end is damage only when nothing more comes", () => {
    const splitter = new EntrySplitter(0);
    const whole = entry({ line: "whole" });
    expect(texts(splitter.push(whole.subarray(0, 15)))).toEqual([]);
    expect(texts(splitter.push(whole.subarray(15)))).toEqual(["whole\n"]);
    splitter.push(whole.subarray(0, 15));
    expect(texts(splitter.end())).toEqual([15]);
  });
});

describe("a log of entries", () => {
  let directory: TemporaryDirectory;
  let log: string;
  beforeEach(() => {
    directory = temporaryDirectory("entries");
    log = join(directory.path, "container.log");
  });
  afterEach(() => directory[Symbol.dispose]());

  const everything: LogSelection = {
    stdout: true,
    stderr: true,
    tail: "all",
    since: undefined,
    until: undefined,
    timestamps: false,
    details: false,
    tty: true,
  };
  const lines = (from: number, to: number): Buffer =>
    Buffer.concat(
      Array.from({ length: to - from + 1 }, (_none, index) =>
        entry({ line: `line${from + index}`, timeNs: second + BigInt(from + index) * 1_000_000n }),
      ),
    );
  const damage: LogDamage[] = [];
  async function read(selection: Partial<LogSelection> = {}): Promise<number[]> {
    let text = "";
    const { signal } = new AbortController();
    for await (const chunk of streamLog(log, { ...everything, ...selection }, undefined, signal, (one) =>
      damage.push(one),
    ))
      text += Buffer.from(chunk).toString();
    return [...text.matchAll(/line(\d+)/g)].map(([, n]) => Number(n));
  }
  const upTo = (from: number, to: number): number[] =>
    Array.from({ length: to - from + 1 }, (_none, index) => from + index);

  test("all of it, its tail and its times, across rotated, compressed and older JSON files", async () => {
    const json = Array.from(
      { length: 5 },
      (_none, n) => `{"log":"line${n + 1}\\n","stream":"stdout","time":"2020-01-01T00:00:00Z"}\n`,
    );
    writeFileSync(`${log}.3`, json.join(""));
    writeFileSync(`${log}.2.gz`, gzipSync(lines(6, 3000)));
    writeFileSync(`${log}.1`, lines(3001, 6000));
    writeFileSync(log, lines(6001, 9000));
    expect(await read()).toEqual(upTo(1, 9000));
    for (const tail of [0, 1, 10, 2999, 3000, 3001, 6500, 8999])
      expect(await read({ tail })).toEqual(upTo(9001 - tail, 9000));
    expect(await read({ since: second + 5990n * 1_000_000n, until: second + 6010n * 1_000_000n })).toEqual(
      upTo(5990, 6010),
    );
  });

  test("the tail after damage in the middle", async () => {
    writeFileSync(log, lines(1, 4000));
    appendFileSync(log, Buffer.alloc(200_000));
    appendFileSync(log, lines(4001, 4010));
    expect(await read({ tail: 10 })).toEqual(upTo(4001, 4010));
    expect(await read({ tail: 12 })).toEqual(upTo(3999, 4010));
    expect(damage.at(-1)).toMatchObject({ bytes: 200_000, count: 1 });
    expect(await read()).toEqual(upTo(1, 4010));
  });
});
