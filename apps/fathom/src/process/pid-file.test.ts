import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { takePidFile } from "./pid-file.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "fathom-pid-"));
  path = join(directory, "run", "pid");
});
afterEach(() => rmSync(directory, { recursive: true }));

test("the pid file has this process's pid and is removed with its holder", () => {
  const file = takePidFile(path);
  expect(readFileSync(path, "utf8")).toBe(`${process.pid}\n`);
  file[Symbol.dispose]();
  expect(existsSync(path)).toBe(false);
});

test("the file of a live process is left alone, the file of a dead one is replaced", async () => {
  takePidFile(path)[Symbol.dispose]();
  const other = Bun.spawn(["sleep", "100"]);
  writeFileSync(path, `${other.pid}\n`);
  expect(() => takePidFile(path)).toThrow(`process with PID ${other.pid} is still running`);
  expect(readFileSync(path, "utf8")).toBe(`${other.pid}\n`);
  other.kill();
  await other.exited;
  takePidFile(path);
  expect(readFileSync(path, "utf8")).toBe(`${process.pid}\n`);
});

test("a file that another process has replaced stays", () => {
  const file = takePidFile(path);
  writeFileSync(path, "1\n");
  file[Symbol.dispose]();
  expect(readFileSync(path, "utf8")).toBe("1\n");
});

test("a file that is no number is replaced", () => {
  takePidFile(path)[Symbol.dispose]();
  for (const text of ["", "0", "-1", "many"]) {
    writeFileSync(path, text);
    takePidFile(path)[Symbol.dispose]();
    expect(existsSync(path)).toBe(false);
  }
});
