/** For the tests of this package: a directory of its own, removed in the end, and the syscalls. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sys } from "../contract.ts";
import { O_DIRECTORY, O_PATH } from "../constants.ts";
import { createSys } from "../create-sys.ts";
import { SysError } from "../errors.ts";

export interface TestDirectory extends Disposable {
  readonly path: string;
  readonly fd: number;
}

export const sys: Sys = createSys();
export const isRoot = process.getuid?.() === 0;

export function testDirectory(): TestDirectory {
  const path = mkdtempSync(join(tmpdir(), "sys-"));
  const fd = sys.open(path, O_PATH | O_DIRECTORY);
  return {
    path,
    fd,
    [Symbol.dispose]() {
      sys.close(fd);
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/** The SysError that `action` throws. Throws itself when there is none. */
export function sysErrorOf(action: () => unknown): SysError {
  try {
    action();
  } catch (error) {
    if (error instanceof SysError) return error;
    throw error;
  }
  throw new Error("the call did not fail");
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (data: Uint8Array): string => new TextDecoder().decode(data);
