import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { streamLog, type LogFollower, type LogSelection } from "./log-stream.ts";

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

async function read(selection: Partial<LogSelection>, follower?: LogFollower): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of streamLog(path, { ...base, ...selection }, follower, new AbortController().signal))
    parts.push(part);
  return Buffer.concat(parts).toString("latin1");
}

test("frames carry the stream and the length", async () => {
  writeFileSync(path, line(1) + line(2, "stderr"));
  expect(await read({ tty: false })).toBe("\x01\0\0\0\0\0\0\x06line1\n\x02\0\0\0\0\0\0\x06line2\n");
  expect(await read({ tty: false, stdout: false })).toBe("\x02\0\0\0\0\0\0\x06line2\n");
});

test("the tail is taken over rotated and compressed files", async () => {
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
  const at = (second: number): bigint => BigInt(Date.parse(`2026-01-01T00:00:0${second}.500Z`)) * 1_000_000n;
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

test("a cut or broken line is skipped", async () => {
  writeFileSync(path, `${line(1)}{"log":"cu\n[]\n${line(2)}{"log":"unfinished`);
  expect(await read({})).toBe("line1\nline2\n");
});

test("following sees what is appended, through rotations, until the writer ends", async () => {
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

test("a log that does not exist yet is empty", async () => {
  expect(await read({})).toBe("");
});
