/** The compiled executable: its parts are loaded from memory, and the directory in which it is started has no influence. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { boolean, decodeDocument, exact, text, unsigned, type Decoder } from "@fathom/spec";

const root = resolve(import.meta.dir, "../..");
const place = mkdtempSync(join(tmpdir(), "compiled-"));
const executable = join(place, "program");
interface Report {
  readonly size: number;
  readonly sameTwice: boolean;
  readonly preloaded: boolean;
  readonly fromDotenv: string | null;
}
const textOrNull: Decoder<string | null> = {
  zero: undefined,
  decode: (value, path) => (value === null ? null : text.decode(value, path)),
};
const report = exact<Report>({ size: unsigned(), sameTwice: boolean, preloaded: boolean, fromDotenv: textOrNull });

beforeAll(() => {
  const built = Bun.spawnSync(["script/compile", "test/sys/embedded-main.ts", executable], { cwd: root });
  expect(built.stderr.toString()).toBe("");
  expect(built.exitCode).toBe(0);
}, 60_000);
afterAll(() => rmSync(place, { recursive: true, force: true }));

test("addon and helper come from the executable, with no file in any temp folder", () => {
  const temp = join(place, "temp");
  mkdirSync(temp);
  const run = Bun.spawnSync(
    ["strace", "-f", "-o", join(place, "trace"), "-e", "trace=openat,unlink,mmap", executable],
    {
      cwd: "/",
      env: { PATH: process.env["PATH"] ?? "", TMPDIR: temp, BUN_TMPDIR: temp },
    },
  );
  expect(run.stderr.toString()).toBe("");
  const told = decodeDocument(report, JSON.parse(run.stdout.toString()), "the report");
  expect(told.size).toBe(statSync(join(root, "build/fathom-init")).size);
  expect(told.sameTwice).toBe(true);
  expect(readdirSync(temp)).toEqual([]);
  const trace = Bun.spawnSync(["grep", "-c", "-E", `"(${temp}|/tmp/)[^"]*\\.(so|node)"`, join(place, "trace")]);
  expect(trace.stdout.toString().trim()).toBe("0");
});

test("a bunfig.toml or .env of the current directory is ignored", () => {
  const hostile = join(place, "hostile");
  mkdirSync(hostile);
  writeFileSync(join(hostile, "bunfig.toml"), 'preload = ["./evil.ts"]\n');
  writeFileSync(join(hostile, "evil.ts"), "globalThis.preloaded = true; console.error('preload ran');\n");
  writeFileSync(join(hostile, ".env"), "FROM_DOTENV=yes\n");
  const run = Bun.spawnSync([executable], { cwd: hostile, env: { PATH: process.env["PATH"] ?? "" } });
  expect(run.stderr.toString()).toBe("");
  const told = decodeDocument(report, JSON.parse(run.stdout.toString()), "the report");
  expect([told.preloaded, told.fromDotenv]).toEqual([false, null]);
  // The trap works: plain bun does read the same directory, so the test above can fail.
  const plain = Bun.spawnSync([process.execPath, join(root, "test/sys/embedded-main.ts")], { cwd: hostile });
  expect(plain.stderr.toString()).toContain("preload ran");
});
