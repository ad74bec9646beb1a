import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { streamLog, type LogDamage, type LogFollower, type LogSelection } from "./log-stream.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "fathom-log-"));
  path = join(directory, "c-json.log");
});
afterEach(() => rmSync(directory, { recursive: true }));

const base: LogSelection = {
  stdout: true,
  stderr: true,
  tail: "all",
  since: undefined,
  until: undefined,
  timestamps: false,
  details: false,
  tty: true,
};
const line = (n: number, stream = "stdout", attrs?: object): string =>
  `${JSON.stringify({ log: `line${n}\n`, stream, ...(attrs ? { attrs } : {}), time: `2026-01-01T00:00:${String(n % 60).padStart(2, "0")}.5Z` })}\n`;
const lines = (from: number, to: number): string => {
  let text = "";
  for (let n = from; n <= to; n++) text += line(n);
  return text;
};

const at = (second: number): bigint => BigInt(Date.parse(`2026-01-01T00:00:0${second}.500Z`)) * 1_000_000n;

/** The frames of a stream without a terminal. */
function frames(text: string): string[][] {
  const data = Buffer.from(text, "latin1");
  const found: string[][] = [];
  for (let offset = 0; offset < data.length;) {
    const length = data.readUInt32BE(offset + 4);
    found.push([data[offset] === 1 ? "stdout" : "stderr", data.toString("utf8", offset + 8, offset + 8 + length)]);
    offset += 8 + length;
  }
  return found;
}

async function read(
  selection: Partial<LogSelection>,
  follower?: LogFollower,
  damaged?: (damage: LogDamage) => void,
): Promise<string> {
  const parts: Uint8Array[] = [];
  const { signal } = new AbortController();
  for await (const part of streamLog(path, { ...base, ...selection }, follower, signal, damaged)) parts.push(part);
  return Buffer.concat(parts).toString("latin1");
}

test("frames carry the stream and the length", async () => {
  writeFileSync(path, line(1) + line(2, "stderr"));
  expect(await read({ tty: false })).toBe("\x01\0\0\0\0\0\0\x06line1\n\x02\0\0\0\0\0\0\x06line2\n");
  expect(await read({ tty: false, stdout: false })).toBe("\x02\0\0\0\0\0\0\x06line2\n");
});

test("the tail is taken across rotated and compressed files", async () => {
  writeFileSync(`${path}.2.gz`, gzipSync(lines(1, 4)));
  writeFileSync(`${path}.1`, lines(5, 8));
  writeFileSync(path, lines(9, 10));
  expect(await read({ tail: 0 })).toBe("");
  expect(await read({ tail: 1 })).toBe("line10\n");
  expect(await read({ tail: 2 })).toBe("line9\nline10\n");
  expect(await read({ tail: 3 })).toBe("line8\nline9\nline10\n");
  expect((await read({ tail: 8 })).split("\n")[0]).toBe("line3");
  expect((await read({ tail: 99 })).split("\n")).toHaveLength(11);
  expect((await read({})).split("\n")[0]).toBe("line1");
});

test("the tail of a log larger than a chunk", async () => {
  writeFileSync(path, lines(1, 20_000));
  expect(await read({ tail: 2 })).toBe("line19999\nline20000\n");
  expect((await read({ tail: 15_000 })).split("\n")[0]).toBe("line5001");
});

test("since and until include their own moment", async () => {
  writeFileSync(path, lines(1, 5));
  expect(await read({ since: at(4) })).toBe("line4\nline5\n");
  expect(await read({ until: at(2) })).toBe("line1\nline2\n");
  expect(await read({ until: at(2) - 1n })).toBe("line1\n");
});

test("timestamps have nine digits, details are sorted and escaped", async () => {
  writeFileSync(path, line(1, "stdout", { b: "two words", a: "1" }));
  expect(await read({ timestamps: true, details: true })).toBe(
    "2026-01-01T00:00:01.500000000Z a=1,b=two+words line1\n",
  );
});

test("the error names a log path that is no file; a pipe does not wait for its writer", async () => {
  mkdirSync(path);
  await expect(read({})).rejects.toThrow(`${path} is no file`);
  rmdirSync(path);
  expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
  for (const tail of ["all", 1] as const) await expect(read({ tail })).rejects.toThrow(`${path} is no file`);
});

test("every whole record is shown, and stderr reports what was skipped", async () => {
  const zeros = "\0".repeat(5000);
  writeFileSync(
    path,
    `${line(1)}{"log":"cu\n[]\n${line(2)}${line(3).slice(0, 30)}${zeros}${line(4)}${line(5).trimEnd()}${line(6)}{"log":"unfinished`,
  );
  const sums: LogDamage[] = [];
  const text = await read({ tty: false }, undefined, (damage) => sums.push(damage));
  expect(frames(text)).toEqual([
    ["stdout", "line1\n"],
    ["stderr", "fathom: 12 bytes that are no log records were skipped here (c-json.log, from byte 68 on)\n"],
    ["stdout", "line2\n"],
    ["stderr", "fathom: 5030 bytes that are no log records were skipped here (c-json.log, from byte 150 on)\n"],
    ["stdout", "line4\n"],
    ["stdout", "line5\n"],
    ["stdout", "line6\n"],
    ["stderr", expect.stringMatching(/^fathom: 18 bytes .*\n$/)],
  ]);
  expect(sums).toEqual([{ bytes: 12 + 5030 + 18, count: 3, file: "c-json.log", offset: 68 }]);
  expect(frames(await read({ tty: false, stderr: false })).map(([, log]) => log)).toEqual(
    [1, 2, 4, 5, 6].map((n) => `line${n}\n`),
  );
  // Damage does not count as a line, and is not reported outside of the requested lines.
  expect(await read({ tail: 4, stderr: false })).toBe("line2\nline4\nline5\nline6\n");
  expect(await read({ tail: 2 })).toMatch(/^line5\nline6\nfathom: 18 bytes [^\n]*\n$/);
});

test("a line of 100 MB without an end uses no memory, and the record after it is found", async () => {
  const file = openSync(path, "w");
  writeSync(file, line(1) + line(2).slice(0, 20));
  // A hole: zeros, as after a power loss.
  ftruncateSync(file, 100 * 1024 * 1024);
  closeSync(file);
  appendFileSync(path, line(3) + line(4));
  expect(await read({ stderr: false })).toBe("line1\nline3\nline4\n");
  expect(await read({ tail: 2, stderr: false })).toBe("line3\nline4\n");
  expect(await read({ tail: 3, stderr: false })).toBe("line1\nline3\nline4\n");
  expect((await read({})).match(/fathom: \d+ bytes/g)).toEqual([`fathom: ${100 * 1024 * 1024 - line(1).length} bytes`]);
});

test("no bytes of any kind cause a failure", async () => {
  const random = new Uint8Array(300_000);
  let seed = 7;
  for (let i = 0; i < random.length; i++) random[i] = (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) >> 16;
  writeFileSync(path, random);
  appendFileSync(path, `\n${line(1)}null\n1\n{"log":1}\n{"log":"x","time":2}\n${line(2)}`);
  expect(await read({ stderr: false })).toBe("line1\nline2\n");
  expect(await read({ stderr: false, tail: 2 })).toBe("line1\nline2\n");
});

test("a missing rotated file is reported", async () => {
  writeFileSync(`${path}.3`, line(1));
  writeFileSync(`${path}.1`, line(2));
  writeFileSync(path, line(3));
  expect(await read({})).toBe("line1\nfathom: c-json.log.2 is missing\nline2\nline3\n");
  expect(await read({ tail: 2 })).toBe("line2\nline3\n");
  writeFileSync(`${path}.4.gz`, gzipSync(lines(1, 4)).subarray(0, 40));
  expect(await read({})).toMatch(/fathom: c-json.log.4.gz cannot be unpacked: .*\nline1\n/s);
});

/** As the supervisor writes a line in several pieces: all have the time of the first. */
const pieces = (texts: readonly string[], second: number, stream = "stdout"): string[] =>
  texts.map((log) => `${JSON.stringify({ log, stream, time: `2026-01-01T00:00:0${second}.5Z` })}\n`);

test("a line of several pieces has one timestamp and is one line of the tail", async () => {
  const [a, b, c] = pieces(["a".repeat(16384), "b".repeat(16384), "c\n"], 2);
  writeFileSync(path, `${line(1)}${a}${b}${c}${line(3)}`);
  const long = `${"a".repeat(16384)}${"b".repeat(16384)}c\n`;
  const stamp = (n: number): string => `2026-01-01T00:00:0${n}.500000000Z `;
  expect(await read({ timestamps: true })).toBe(`${stamp(1)}line1\n${stamp(2)}${long}${stamp(3)}line3\n`);
  expect(await read({ tail: 2 })).toBe(`${long}line3\n`);
  expect(await read({ tail: 3, timestamps: true })).toBe(`${stamp(1)}line1\n${stamp(2)}${long}${stamp(3)}line3\n`);
  expect(await read({ since: at(2), until: at(2) })).toBe(long);
});

test("a last line without newline is not joined with the first line of the next run", async () => {
  const [first] = pieces(["no newline"], 1);
  const [second] = pieces(["next run\n"], 2);
  writeFileSync(path, `${first}${second}`);
  expect(await read({ timestamps: true })).toBe(
    "2026-01-01T00:00:01.500000000Z no newline2026-01-01T00:00:02.500000000Z next run\n",
  );
  expect(await read({ tail: 1 })).toBe("next run\n");
});

test("lines that are written to both streams at the same time stay whole", async () => {
  const [a, b] = pieces(["a".repeat(16384), "b\n"], 2);
  const error = line(3, "stderr");
  writeFileSync(path, `${line(1)}${a}${error}${b}`);
  const whole: [string[], string[], string[]] = [
    ["stdout", "a".repeat(16384)],
    ["stderr", "line3\n"],
    ["stdout", "b\n"],
  ];
  expect(frames(await read({ tty: false, tail: 2 }))).toEqual(whole);
  // The line that ends last is the last line.
  expect(frames(await read({ tty: false, tail: 1 }))).toEqual([whole[0], whole[2]]);
  expect(frames(await read({ tty: false, since: at(2), until: at(2) }))).toEqual([whole[0], whole[2]]);
  // Also across a rotation.
  writeFileSync(`${path}.1`, `${line(1)}${a}`);
  writeFileSync(path, `${error}${b}`);
  expect(frames(await read({ tty: false, tail: 1 }))).toEqual([whole[0], whole[2]]);
  expect(frames(await read({ tty: false, tail: 2, timestamps: true })).map(([, log]) => log!.slice(0, 31))).toEqual(
    ["2026-01-01T00:00:02.500000000Z a", "2026-01-01T00:00:03.500000000Z l", "b\n"].map((log) => log.slice(0, 31)),
  );
});

/** Records of 10 ms each, as `count` lines of about 1 kB. */
function writeLong(count: number, time: (n: number) => number): void {
  const file = openSync(path, "w");
  for (let from = 0; from < count; from += 1000) {
    let text = "";
    for (let n = from; n < Math.min(count, from + 1000); n++)
      text += `${JSON.stringify({ log: `${n} ${"x".repeat(900)}\n`, stream: "stdout", time: new Date(time(n)).toISOString() })}\n`;
    writeSync(file, text);
  }
  closeSync(file);
}
const epoch = Date.parse("2026-01-01T00:00:00Z");
const numbersOf = (text: string): number[] => [...text.matchAll(/^(\d+) /gm)].map(([, n]) => Number(n));

/** Bytes that this process reads meanwhile. */
async function readBytes(action: () => Promise<unknown>): Promise<number> {
  const now = (): number => Number(/rchar: (\d+)/.exec(readFileSync("/proc/self/io", "utf8"))![1]);
  const before = now();
  await action();
  return now() - before;
}

test("other work has its turn while a log is read from which nothing is wanted", async () => {
  writeLong(16_000, (n) => epoch + n * 10);
  for (const selection of [{ stdout: false }, { since: 1n }, { tail: 15_999 }] satisfies Partial<LogSelection>[]) {
    let turns = 0;
    let ended = false;
    const count = (): void => {
      turns++;
      if (!ended) setImmediate(count);
    };
    setImmediate(count);
    await read(selection);
    ended = true;
    // 15 MB.
    expect(turns).toBeGreaterThan(30);
  }
});

test("since and until are found without reading the whole log", async () => {
  writeLong(32_000, (n) => epoch + n * 10);
  const ns = (n: number): bigint => BigInt(epoch + n * 10) * 1_000_000n;
  const size = statSync(path).size;
  for (const [selection, first, last] of [
    [{ since: ns(31_900) }, 31_900, 31_999],
    [{ since: ns(20_000), until: ns(20_003) }, 20_000, 20_003],
    [{ until: ns(99) }, 0, 99],
    [{ since: ns(0), until: ns(3) }, 0, 3],
    [{ tail: 5 }, 31_995, 31_999],
  ] as const) {
    let found: number[] = [];
    const bytes = await readBytes(async () => (found = numbersOf(await read(selection))));
    expect([found[0], found.at(-1), found.length]).toEqual([first, last, last - first + 1]);
    expect(bytes).toBeLessThan(size / 4);
  }
  expect(await read({ since: ns(32_000) })).toBe("");
  expect(await read({ until: ns(0) - 1n })).toBe("");
});

test("a clock that was set back or forward hides no line", async () => {
  // An hour ahead until line 12000, then correct.
  writeLong(24_000, (n) => epoch + n * 10 + (n < 12_000 ? 3_600_000 : 0));
  const ns = (ms: number): bigint => BigInt(epoch + ms) * 1_000_000n;
  const late = numbersOf(await read({ since: ns(200_000) }));
  expect(late).toHaveLength(12_000 + 4_000);
  expect(numbersOf(await read({ until: ns(130_000) }))).toHaveLength(1001);
  expect(numbersOf(await read({ since: ns(3_600_000) }))).toHaveLength(12_000);
});

test("a few lines from before the clock was set back are found among any number of later lines", async () => {
  const record = (second: number, latest?: number): string => {
    const time = (at: number): string => new Date(at * 1000).toISOString();
    const more = latest === undefined ? {} : { latest: time(latest) };
    return `${JSON.stringify({ log: `at${second}\n`, stream: "stdout", time: time(second), ...more })}\n`;
  };
  const many = Array.from({ length: 20_000 }, (_, index) => record(1_000 + index)).join("");
  const behind = Array.from({ length: 20_000 }, (_, index) => record(30_000 + index, 90_001)).join("");
  writeFileSync(path, many + record(90_000) + record(90_001) + behind);
  const since = 80_000n * 1_000_000_000n;
  expect(await read({ since })).toBe("at90000\nat90001\n");
  expect(await read({ since: 49_998n * 1_000_000_000n })).toBe("at90000\nat90001\nat49998\nat49999\n");
});

test("a record of one stream is found among the pieces of an endless line of the other", async () => {
  const file = openSync(path, "w");
  const piece = `${JSON.stringify({ log: "x".repeat(16384), stream: "stdout", time: "2026-01-01T00:00:01.5Z" })}\n`;
  writeSync(file, line(0, "stderr"));
  for (let n = 0; n < 200; n++) writeSync(file, piece);
  writeSync(file, line(5, "stderr"));
  for (let n = 0; n < 200; n++) writeSync(file, piece);
  closeSync(file);
  expect(await read({ since: at(4) })).toBe("line5\n");
  expect((await read({ tail: 1 })).length).toBe(400 * 16384);
  expect((await read({ tail: 2 })).length).toBe(400 * 16384 + 6);
});

test("a client that does not follow gets what existed at the beginning, although the log grows", async () => {
  writeLong(2_000, (n) => epoch + n * 10);
  const found: number[] = [];
  for await (const part of streamLog(path, base, undefined, new AbortController().signal)) {
    appendFileSync(path, line(1).repeat(100));
    found.push(...numbersOf(Buffer.from(part).toString()));
  }
  expect(found).toHaveLength(2_000);
});

test("nothing is read for a client that has gone", async () => {
  writeLong(16_000, (n) => epoch + n * 10);
  const gone = new AbortController();
  const bytes = await readBytes(async () => {
    setImmediate(() => gone.abort(new Error("gone")));
    for await (const _ of streamLog(path, { ...base, tail: 15_000 }, undefined, gone.signal));
  });
  expect(bytes).toBeLessThan(statSync(path).size / 2);
});

test("following shows appended lines, across rotations, until the writer ends", async () => {
  writeFileSync(path, lines(1, 2));
  const steps: (() => void)[] = [
    () => appendFileSync(path, line(3)),
    () => {
      appendFileSync(path, line(4));
      renameSync(path, `${path}.1`);
      writeFileSync(path, line(5));
    },
    () => {
      renameSync(`${path}.1`, `${path}.2`);
      renameSync(path, `${path}.1`);
      writeFileSync(path, line(6));
      renameSync(`${path}.2`, `${path}.3`);
      renameSync(`${path}.1`, `${path}.2`);
      renameSync(path, `${path}.1`);
      writeFileSync(path, line(7));
    },
    () => appendFileSync(path, line(8)),
  ];
  const follower: LogFollower = {
    alive: () => steps.length > 0,
    changed: () => Promise.resolve(steps.shift()?.()),
  };
  expect(await read({}, follower)).toBe("line1\nline2\nline3\nline4\nline5\nline6\nline7\nline8\n");
});

test("following with a tail continues in a file that replaces the only one, or is truncated: both streams", async () => {
  for (const renew of [() => unlinkSync(path), () => truncateSync(path)]) {
    writeFileSync(path, lines(1, 50) + line(50, "stderr"));
    const steps: (() => void)[] = [
      () => {
        renew();
        appendFileSync(path, line(51) + line(52, "stderr"));
      },
      () => appendFileSync(path, line(53, "stderr")),
    ];
    const follower: LogFollower = {
      alive: () => steps.length > 0,
      changed: () => Promise.resolve(steps.shift()?.()),
    };
    expect(await read({ tail: 0 }, follower)).toBe("line51\nline52\nline53\n");
  }
});

test("a tail shows both streams, although the file where one of them begins is rotated away before it is read", async () => {
  writeFileSync(`${path}.1`, lines(1, 2_000));
  writeFileSync(path, line(2_001) + line(2_002, "stderr"));
  let alive = true;
  const follower: LogFollower = { alive: () => alive, changed: () => Promise.resolve() };
  let text = "";
  for await (const part of streamLog(path, { ...base, tail: 2_001 }, follower, new AbortController().signal)) {
    text += Buffer.from(part).toString();
    if (!alive) continue;
    alive = false;
    renameSync(path, `${path}.2`);
    writeFileSync(path, line(2_003) + line(2_004, "stderr"));
    unlinkSync(`${path}.2`);
  }
  expect(text).toEndWith("line2000\nline2003\nline2004\n");
});

/** Rotates the log at `argv[2]` as a supervisor does, but never deletes a file: if lines are missing then, the reader lost them. */
const rotator = `
  const { existsSync, renameSync, appendFileSync } = require("node:fs");
  const path = process.argv[2], files = Number(process.argv[3]);
  const line = (n) => JSON.stringify({ log: "line" + n + "\\n", stream: "stdout", time: "2026-01-01T00:00:00Z" }) + "\\n";
  for (let n = 1; n <= files * 5; n++) {
    appendFileSync(path, line(n));
    if (n % 5 !== 0 || n === files * 5) continue;
    for (let i = files; i >= 1; i--) if (existsSync(i === 1 ? path : path + "." + (i - 1))) renameSync(i === 1 ? path : path + "." + (i - 1), path + "." + i);
  }`;

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Four times: calls `use` while a process rotates the log sixty times. */
async function whileRotated(use: (alive: () => boolean) => Promise<void>): Promise<void> {
  writeFileSync(join(directory, "rotate.js"), rotator);
  for (let time = 0; time < 4; time++) {
    path = join(directory, `time-${time}`, "c-json.log");
    mkdirSync(join(directory, `time-${time}`));
    writeFileSync(path, lines(1, 10).replaceAll("line", "early"));
    const child = Bun.spawn([process.execPath, join(directory, "rotate.js"), path, "60"]);
    let alive = true;
    void child.exited.then(() => (alive = false));
    await use(() => alive);
    expect(await child.exited).toBe(0);
  }
}

test("a follower skips no file while files are rotated as fast as possible", async () => {
  const all = Array.from({ length: 300 }, (_, index) => `line${index + 1}`);
  await whileRotated(async (alive) => {
    const text = await read({}, { alive, changed: turn });
    expect([...text.matchAll(/fathom:.*|line\d+/g)].map(([found]) => found)).toEqual(all);
  });
}, 60_000);

test("a tail has the right length and order while files are rotated as fast as possible", async () => {
  await whileRotated(async (alive) => {
    while (alive()) {
      const text = await read({ tail: 8 });
      const numbers = [...text.matchAll(/line(\d+)/g)].map((match) => Number(match[1]));
      const last = numbers.at(-1) ?? 0;
      expect(text.split("\n")).toHaveLength(9);
      expect(numbers).toEqual(
        Array.from({ length: Math.min(last, 8) }, (_, index) => Math.max(last - 8, 0) + index + 1),
      );
      await turn();
    }
  });
}, 60_000);

test("a log that does not exist yet is empty", async () => {
  expect(await read({})).toBe("");
});
