/** The json-file log: records, escaping, long lines, attributes, rotation, and a disk that fills up. */
import { afterAll, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { SOCK_STREAM } from "@fathom/sys";
import { logEntries, logRecords, Reader, Rig, run, start, sys, unframe } from "./rig.ts";
import { until } from "@fathom/base/testing";

const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

test("one record per line, with stream and time", async () => {
  const before = Date.now();
  const { directory } = await run(rig, ["sh", "-c", "echo out; sleep 0.01; echo err >&2; sleep 0.01; printf open"]);
  const records = logRecords(join(directory, "log"));
  expect(records.map(({ log, stream }) => [log, stream])).toEqual([
    ["out\n", "stdout"],
    ["err\n", "stderr"],
    ["open", "stdout"],
  ]);
  for (const { time } of records) {
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z$/);
    expect(Math.abs(Date.parse(time) - before)).toBeLessThan(5000);
  }
  const text = readFileSync(join(directory, "log"), "utf8");
  expect(text).toStartWith('{"log":"out\\n","stream":"stdout","time":"');
  expect(statSync(join(directory, "log")).mode & 0o777).toBe(0o640);
});

test("escapes as Go's encoder does", async () => {
  const bytes = Buffer.concat([
    Buffer.from('"\\<>&\t\r\b\x7f\x00\x1f äß日本😀 \u2028\u2029 '),
    // Overlong, surrogate, cut, beyond the last code point, lone continuation.
    Buffer.from([0xc0, 0xaf, 0xed, 0xa0, 0x80, 0xe2, 0x82, 0x20, 0xf4, 0x90, 0x80, 0x80, 0x80, 0xff]),
  ]);
  writeFileSync(join(rig.rootfs, "tmp/odd"), Buffer.concat([bytes, Buffer.from("\n")]));
  const { directory } = await run(rig, ["cat", "/tmp/odd"]);
  const text = readFileSync(join(directory, "log"), "utf8");
  const bad = (count: number): string => "\\ufffd".repeat(count);
  expect(text).toStartWith(
    '{"log":"\\"\\\\\\u003c\\u003e\\u0026\\u0009\\r\\u0008\x7f\\u0000\\u001f äß日本😀 \\u2028\\u2029 ' +
      `${bad(2)}${bad(3)}${bad(2)} ${bad(4)}${bad(2)}\\n","stream":"stdout",`,
  );
});

test("a line above 16 KiB is cut into records without a newline, nothing is lost", async () => {
  const { directory } = await run(
    rig,
    ["sh", "-c", "head -c 40000 /dev/zero | tr '\\0' a; echo; head -c 16384 /dev/zero | tr '\\0' b; echo"],
    {
      inRoot: [
        { kind: "make-node", path: "/dev/zero", type: "character", major: 1, minor: 5, mode: 0o666, uid: 0, gid: 0 },
      ],
    },
  );
  const records = logRecords(join(directory, "log"));
  expect(records.map(({ log }) => log.length)).toEqual([16384, 16384, 7233, 16385]);
  expect(
    records
      .slice(0, 3)
      .map(({ log }) => log)
      .join(""),
  ).toBe(`${"a".repeat(40000)}\n`);
  expect(records[0]!.time).toBe(records[2]!.time);
});

test("a line is cut between characters, at every position", async () => {
  for (let shift = 0; shift < 4; shift++) {
    const text = `${"a".repeat(shift)}${"é日😀".repeat(5000)}\n`;
    writeFileSync(join(rig.rootfs, "tmp/long"), text);
    const { directory } = await run(rig, ["cat", "/tmp/long"]);
    const records = logRecords(join(directory, "log"));
    expect(records.map(({ log }) => log).join("")).toBe(text);
    for (const { log } of records.slice(0, -1)) {
      expect(Buffer.byteLength(log)).toBeLessThanOrEqual(16_384);
      expect(Buffer.byteLength(log)).toBeGreaterThan(16_380);
    }
    expect(readFileSync(join(directory, "log"), "utf8")).not.toContain('"bytes"');
  }
});

test("a character that is written in pieces stays whole", async () => {
  const script = String.raw`printf '\360\237'; sleep 0.05; printf '\230\200 \303'; sleep 0.05; printf '\251\n'; printf '\346\227'`;
  const { directory } = await run(rig, ["sh", "-c", script]);
  const records = logRecords(join(directory, "log"));
  expect(records.map(({ log }) => log)).toEqual(["😀 é\n", "\ufffd\ufffd"]);
  expect(records.map(({ bytes }) => bytes)).toEqual([undefined, Buffer.from([0o346, 0o227]).toString("base64")]);
});

test("bytes that are not UTF-8 are also kept as bytes, at every cut", async () => {
  // A fixed sequence with many lead bytes, continuations and newlines.
  const bytes = Buffer.alloc(200_000);
  let state = 12_345;
  for (let at = 0; at < bytes.length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const byte = (state >>> 16) & 255;
    bytes[at] = byte < 64 ? 0x80 + byte : byte < 128 ? 0xc0 + (byte & 63) : byte === 200 ? 10 : byte;
  }
  for (const content of [bytes, Buffer.from(bytes.map((byte) => (byte === 10 ? 0xe2 : byte)))]) {
    writeFileSync(join(rig.rootfs, "tmp/odd"), content);
    const { directory } = await run(rig, ["cat", "/tmp/odd"]);
    const records = logRecords(join(directory, "log"));
    const whole = records.map((record) =>
      record.bytes === undefined ? Buffer.from(record.log) : Buffer.from(record.bytes, "base64"),
    );
    expect(Buffer.concat(whole).equals(content)).toBe(true);
    // Other readers show what a UTF-8 decoder makes of it.
    for (const [index, { log }] of records.entries()) expect(log).toHaveLength(replaced(whole[index]!).length);
  }
});

/** Each byte that begins no character becomes U+FFFD, as in Go. */
function replaced(bytes: Buffer): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const sizes = [1, 2, 3, 4].filter((size) => at + size <= bytes.length);
    const size = sizes.find((candidate) => {
      const part = bytes.subarray(at, at + candidate);
      return Buffer.from(part.toString("utf8")).equals(part);
    });
    text += size === undefined ? "\ufffd" : bytes.toString("utf8", at, at + size);
    at += size ?? 1;
  }
  return text;
}

test("attributes are in every record", async () => {
  const { directory } = await run(rig, ["echo", "x"], { log: { attributes: { tag: 'a"b', env: "x" } } });
  expect(readFileSync(join(directory, "log"), "utf8")).toStartWith(
    '{"log":"x\\n","stream":"stdout","attrs":{"env":"x","tag":"a\\"b"},"time":"',
  );
});

test("rotation keeps the number of files and the newest records, each file whole", async () => {
  const { directory } = await run(rig, ["seq", "2000"], { log: { maxSize: 10_000, maxFiles: 3 } });
  const names = readdirSync(directory)
    .filter((name) => name.startsWith("log"))
    .sort();
  expect(names).toEqual(["log", "log.1", "log.2"]);
  const numbers = ["log.2", "log.1", "log"].flatMap((name) =>
    logRecords(join(directory, name)).map(({ log }) => Number(log)),
  );
  expect(numbers.at(-1)).toBe(2000);
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, index) => 2001 - numbers.length + index));
  for (const name of ["log.1", "log.2"]) {
    expect(statSync(join(directory, name)).size).toBeGreaterThanOrEqual(10_000);
    expect(statSync(join(directory, name)).size).toBeLessThan(10_200);
  }
});

test.each([2 ** 32 - 1, 2 ** 32])(
  "a rotation looks only at existing files, not at all possible ones (%d)",
  async (maxFiles) => {
    const { directory } = await run(rig, ["seq", "2000"], { log: { maxSize: 10_000, maxFiles } });
    const names = readdirSync(directory).filter((name) => name.startsWith("log"));
    expect(names.length).toBeGreaterThan(5);
    const numbers = names
      .sort((a, b) => Number(b.slice(4)) - Number(a.slice(4)))
      .flatMap((name) => logRecords(join(directory, name)).map(({ log }) => Number(log)));
    expect(numbers).toEqual(Array.from({ length: 2000 }, (_, index) => index + 1));
  },
);

test("a single file is started again", async () => {
  const { directory } = await run(rig, ["seq", "500"], { log: { maxSize: 5000, maxFiles: 1 } });
  expect(readdirSync(directory).filter((name) => name.startsWith("log"))).toEqual(["log"]);
  expect(logRecords(join(directory, "log")).at(-1)!.log).toBe("500\n");
});

test("a reader that has the single file open reads it to its end: the next file is another one", async () => {
  const script = "seq 100; read a; seq 101 500";
  const { supervisor, directory } = await start(rig, ["sh", "-c", script], {
    openStdin: true,
    log: { maxSize: 10_000, maxFiles: 1 },
  });
  const log = join(directory, "log");
  await until("the first lines", () => existsSync(log) && logRecords(log).length === 100);
  const file = openSync(log, "r");
  const { fd } = await supervisor.attach({ stdin: true, stdout: false, stderr: false, closeStdin: false });
  sys.write(fd, Buffer.from("\n"));
  await supervisor.exit;
  sys.close(fd);
  const numbers = logRecords(file).map((record) => Number(record.log));
  closeSync(file);
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, index) => index + 1));
  expect(numbers.length).toBeGreaterThan(100);
  expect(logRecords(log).at(-1)!.log).toBe("500\n");
});

test("a record that is older than an earlier one has the latest earlier time, in this run and the next", async () => {
  const directory = rig.directory();
  const log = join(directory, "log");
  const late = "2099-01-01T00:00:00.5Z";
  writeFileSync(log, `${JSON.stringify({ log: "late\n", stream: "stdout", attrs: { latest: "2199" }, time: late })}\n`);
  const latest = (): (string | undefined)[] => logRecords(log).map((record) => record.latest);
  await run(rig, ["sh", "-c", "echo a; printf '\\377\\n'"], { directory });
  expect(latest()).toEqual([undefined, late, late]);
  await run(rig, ["echo", "b"], { directory });
  expect(latest()).toEqual([undefined, late, late, late]);
  writeFileSync(log, `${JSON.stringify({ log: "early\n", stream: "stdout", time: "2000-01-01T00:00:00Z" })}\n`);
  await run(rig, ["seq", "3"], { directory });
  expect(latest()).toEqual([undefined, undefined, undefined, undefined]);
});

test("a rotation moves files that were compressed, and removes the oldest in either form", async () => {
  const names = (directory: string): string[] =>
    readdirSync(directory)
      .filter((name) => name.startsWith("log"))
      .sort();
  const directory = rig.directory();
  writeFileSync(join(directory, "log.1"), "plain\n");
  writeFileSync(join(directory, "log.2.gz"), "packed");
  writeFileSync(join(directory, "log.3.gz"), "oldest");
  await run(rig, ["seq", "200"], { directory, log: { maxSize: 10_000, maxFiles: 4 } });
  expect(names(directory)).toEqual(["log", "log.1", "log.2", "log.3.gz"]);
  expect(readFileSync(join(directory, "log.2"), "utf8")).toBe("plain\n");
  expect(readFileSync(join(directory, "log.3.gz"), "utf8")).toBe("packed");
});

test("an outside rotation and reopenLog", async () => {
  const { supervisor, directory } = await start(rig, ["sh", "-c", "echo one; read a; echo two"], { openStdin: true });
  const log = join(directory, "log");
  await until("the first line", () => existsSync(log) && logRecords(log).length === 1);
  renameSync(log, `${log}.old`);
  await supervisor.reopenLog();
  const { fd } = await supervisor.attach({ stdin: true, stdout: false, stderr: false, closeStdin: false });
  sys.write(fd, Buffer.from("\n"));
  await supervisor.exit;
  sys.close(fd);
  expect(logRecords(log).map((record) => record.log)).toEqual(["two\n"]);
  expect(logRecords(`${log}.old`).map((record) => record.log)).toEqual(["one\n"]);
});

test("a full disk: the container continues, no record is cut, a record reports the gap", async () => {
  const disk = join(rig.base, "disk");
  mkdirSync(disk);
  sys.mount("tmpfs", disk, "tmpfs", 0, "size=64k");
  try {
    const { supervisor, directory } = await start(rig, ["sh", "-c", "seq 5000; read a; echo after; exit 6"], {
      openStdin: true,
      log: { path: join(disk, "log") },
    });
    const ballast = join(disk, "log");
    await until("the disk is full", () => statSync(ballast).size > 60_000);
    // sleep: more output arrives at the full disk meanwhile
    await Bun.sleep(100);
    const full = logRecords(ballast);
    expect(full.length).toBeGreaterThan(100);
    sys.mount("tmpfs", disk, "tmpfs", 0x20, "size=4m");
    const { fd } = await supervisor.attach({ stdin: true, stdout: false, stderr: false, closeStdin: false });
    sys.write(fd, Buffer.from("\n"));
    expect((await supervisor.exit).code).toBe(6);
    sys.close(fd);
    const records = logRecords(ballast);
    const told = records.map(
      ({ log }) => /^fathom: (\d+) log records are missing here: No space left on device\n$/.exec(log)?.[1],
    );
    const missing = told.reduce((sum, number) => sum + Number(number ?? 0), 0);
    expect(missing).toBeGreaterThan(1000);
    expect(missing + records.length - told.filter(Boolean).length).toBe(5001);
    expect(records.at(-1)!.log).toBe("after\n");
    expect(JSON.parse(readFileSync(join(directory, "exit"), "utf8"))).toMatchObject({
      code: 6,
      lostLogRecords: missing,
    });
  } finally {
    sys.umount(disk, 2);
  }
});

test("entries: streams, times, pieces of a long line, a line without an end, and rotation", async () => {
  const before = BigInt(Date.now()) * 1_000_000n;
  const script = "echo one; sleep 0.05; echo >&2; sleep 0.05; printf '%040000d\\n' 0; printf open";
  const { directory } = await run(rig, ["sh", "-c", script], { log: { form: "entries" } });
  const entries = logEntries(join(directory, "log"));
  const zeros = (count: number): string => "0".repeat(count);
  expect(entries.map(([stream, , ...rest]) => [stream, ...rest])).toEqual([
    ["stdout", "one"],
    ["stderr", ""],
    ["stdout", zeros(16_384), 1, false],
    ["stdout", zeros(16_384), 2, false],
    ["stdout", zeros(40_000 - 2 * 16_384), 3, true],
    ["stdout", "open", 1, false],
  ]);
  for (const [, time] of entries) {
    expect(time).toBeGreaterThanOrEqual(before - 1_000_000n);
    expect(time).toBeLessThan(before + 60_000_000_000n);
  }
  expect(entries[2]![1]).toBe(entries[4]![1]);
  // A log of the other form is rotated first; with only one file it is replaced.
  const log = { form: "entries", maxFiles: 3 } as const;
  const other = rig.directory();
  writeFileSync(join(other, "log"), '{"log":"old\\n","stream":"stdout","time":"2020-01-01T00:00:00Z"}\n');
  await run(rig, ["echo", "new"], { directory: other, log });
  await run(rig, ["echo", "newer"], { directory: other, log });
  expect(logEntries(join(other, "log")).map(([, , line]) => line)).toEqual(["new", "newer"]);
  expect(logRecords(join(other, "log.1")).map((record) => record.log)).toEqual(["old\n"]);
});

test("a full disk: no entry is cut, and an entry reports the gap", async () => {
  const disk = join(rig.base, "disk-of-entries");
  mkdirSync(disk);
  sys.mount("tmpfs", disk, "tmpfs", 0, "size=64k");
  try {
    const log = join(disk, "log");
    const { supervisor } = await start(rig, ["sh", "-c", "seq 5000; read a; echo after"], {
      openStdin: true,
      log: { path: log, form: "entries" },
    });
    // Entries are written in batches, and the last that fits need not fill the disk.
    await until("the disk is almost full", () => statSync(log).size > 30_000);
    // sleep: more output arrives at the full disk meanwhile
    await Bun.sleep(100);
    expect(logEntries(log).length).toBeGreaterThan(100);
    sys.mount("tmpfs", disk, "tmpfs", 0x20, "size=4m");
    const { fd } = await supervisor.attach({ stdin: true, stdout: false, stderr: false, closeStdin: false });
    sys.write(fd, Buffer.from("\n"));
    await supervisor.exit;
    sys.close(fd);
    const lines = logEntries(log).map(([, , line]) => line);
    const said = /^fathom: (\d+) log records are missing here: No space left on device$/;
    const missing = lines.reduce((sum, line) => sum + Number(said.exec(line)?.[1] ?? 0), 0);
    expect(missing).toBeGreaterThan(500);
    expect(missing + lines.filter((line) => !said.test(line)).length).toBe(5001);
    expect(lines.at(-1)).toBe("after");
  } finally {
    sys.umount(disk, 2);
  }
});

test("driver none writes nothing", async () => {
  const { directory, stdout } = await run(rig, ["echo", "seen"], { log: { kind: "none" } });
  expect(stdout).toBe("seen\n");
  expect(readdirSync(directory)).toEqual(["exit"]);
});

test("a log by descriptor gets every byte, and its end, and no file is written", async () => {
  const [mine, theirs] = sys.socketpair(SOCK_STREAM, true);
  const { supervisor, directory } = await start(rig, ["sh", "-c", "echo out; echo err >&2; seq 5000"], {
    log: { kind: "descriptor", fd: theirs },
  });
  sys.close(theirs);
  const { stdout, stderr } = unframe(await new Reader(mine).ended);
  expect((await supervisor.exit).code).toBe(0);
  expect(stdout).toBe(`out\n${Array.from({ length: 5000 }, (_, index) => `${index + 1}\n`).join("")}`);
  expect(stderr).toBe("err\n");
  expect(existsSync(join(directory, "log"))).toBe(false);
});
