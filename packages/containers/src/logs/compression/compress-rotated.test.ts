import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { temporaryDirectory, type TemporaryDirectory } from "@fathom/base/testing";
import { streamLog, type LogSelection } from "../log-stream.ts";
import { logFiles } from "../rotated-files.ts";
import { compressRotated } from "./compress-rotated.ts";

let directory: TemporaryDirectory;
let log: string;
beforeEach(() => {
  directory = temporaryDirectory("packed");
  log = join(directory.path, "c-json.log");
});
afterEach(() => directory[Symbol.dispose]());

const signal = new AbortController().signal;
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
const line = (n: number): string =>
  `{"log":"line${n}\\n","stream":"stdout","time":"2026-01-01T00:00:00.${String(n).padStart(9, "0")}Z"}\n`;
const lines = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_none, index) => line(from + index)).join("");

async function read(selection: Partial<LogSelection> = {}): Promise<number[]> {
  let text = "";
  for await (const chunk of streamLog(log, { ...everything, ...selection }, undefined, signal))
    text += Buffer.from(chunk).toString();
  return [...text.matchAll(/line(\d+)/g)].map(([, n]) => Number(n));
}
const upTo = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_none, index) => from + index);

test("rotated files are packed, the current one is not, and the log reads as before", async () => {
  writeFileSync(`${log}.2`, lines(1, 10));
  writeFileSync(`${log}.1`, lines(11, 20));
  writeFileSync(log, lines(21, 25));
  await compressRotated(log, () => true, signal);
  expect(readdirSync(directory.path).sort()).toEqual([log, `${log}.1.gz`, `${log}.2.gz`].map((path) => basename(path)));
  expect(statSync(`${log}.1.gz`).mode & 0o777).toBe(0o640);
  expect(await read()).toEqual(upTo(1, 25));
  expect(await read({ tail: 8 })).toEqual(upTo(18, 25));
});

test("files from the first that is still needed on stay as they are", async () => {
  for (const n of [3, 2, 1]) writeFileSync(`${log}.${n}`, lines(n, n));
  writeFileSync(log, "");
  const needed = statSync(`${log}.2`).ino;
  await compressRotated(log, ({ inode }) => inode !== needed, signal);
  expect(logFiles(log).map(({ number, compressed }) => [number, compressed])).toEqual([
    [3, true],
    [2, false],
    [1, false],
    [0, false],
  ]);
});

test("a reader in the middle of a file that is packed meanwhile sees each record once", async () => {
  const many = 20_000;
  writeFileSync(`${log}.2`, lines(1, many));
  writeFileSync(`${log}.1`, lines(many + 1, 2 * many));
  writeFileSync(log, lines(2 * many + 1, 2 * many + 5));
  let text = "";
  let packed = false;
  for await (const chunk of streamLog(log, everything, undefined, signal)) {
    text += Buffer.from(chunk).toString();
    if (!packed) await compressRotated(log, () => true, signal);
    packed = true;
  }
  expect(existsSync(`${log}.2`)).toBe(false);
  expect([...text.matchAll(/line(\d+)/g)].map(([, n]) => Number(n))).toEqual(upTo(1, 2 * many + 5));
});

/** Writes and rotates as the supervisor does, without a pause. */
const writer = `
import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
const [log, count] = process.argv.slice(2);
const line = (n) => '{"log":"line' + n + '\\\\n","stream":"stdout","time":"2026-01-01T00:00:00.' + String(n).padStart(9, "0") + 'Z"}\\n';
const taken = (n) => existsSync(log + "." + n) || existsSync(log + "." + n + ".gz");
for (let n = 1; n <= Number(count); n++) {
  let last = 1;
  while (taken(last)) last++;
  for (let i = last; i >= 1; i--)
    for (const suffix of i === 1 ? [""] : ["", ".gz"]) {
      try {
        renameSync(i === 1 ? log : log + "." + (i - 1) + suffix, log + "." + i + suffix);
      } catch {}
    }
  writeFileSync(log, line(n));
}
`;

test("no record is lost or doubled while the writer rotates all the time", async () => {
  const count = 150;
  const script = join(directory.path, "writer.ts");
  writeFileSync(script, writer);
  writeFileSync(log, line(0));
  const child = Bun.spawn([process.execPath, script, log, String(count)], { stdout: "inherit", stderr: "inherit" });
  let ended = false;
  void child.exited.then(() => (ended = true));
  for (let more = 1; more > 0; more = ended ? more - 1 : 1) await compressRotated(log, () => true, signal);
  expect(await child.exited).toBe(0);
  await compressRotated(log, () => true, signal);
  expect(logFiles(log).filter(({ compressed }) => !compressed)).toHaveLength(1);
  expect(await read()).toEqual(upTo(0, count));
}, 60_000);

test("an original that is removed as the oldest file leaves no packed copy", async () => {
  writeFileSync(`${log}.1`, lines(1, 50_000));
  writeFileSync(log, lines(1, 1));
  const packing = compressRotated(log, () => true, signal);
  // It is only one file, and the next rotation replaces it.
  renameSync(log, `${log}.1`);
  writeFileSync(log, "");
  await packing;
  expect(existsSync(`${log}.packing`)).toBe(false);
  expect(await read()).toEqual([1]);
});

test("the packed file is on the disk before the original goes", () => {
  writeFileSync(`${log}.1`, lines(1, 10));
  writeFileSync(log, "");
  const script = join(directory.path, "pack.ts");
  writeFileSync(
    script,
    `import { compressRotated } from ${JSON.stringify(join(import.meta.dir, "compress-rotated.ts"))};
    await compressRotated(${JSON.stringify(log)}, () => true, new AbortController().signal);`,
  );
  const trace = join(directory.path, "trace");
  const calls = "trace=fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat";
  expect(Bun.spawnSync(["strace", "-f", "-o", trace, "-e", calls, process.execPath, script]).exitCode).toBe(0);
  const order = readFileSync(trace, "utf8")
    .split("\n")
    .flatMap((call) => {
      if (/f(data)?sync\(.* = 0/.test(call)) return "sync";
      if (/ rename.*\.packing".*\.1\.gz"/.test(call)) return "place";
      return / rename.*\.log\.1", .*\.packed"/.test(call) ? "remove" : [];
    });
  expect(order).toEqual(["sync", "place", "remove"]);
}, 60_000);
