/** For the tests of this package: a directory of its own, which is removed at the end, and the syscalls. */
import { temporaryDirectory, type TemporaryDirectory } from "@fathom/base/testing";
import type { Sys } from "../contract.ts";
import { O_DIRECTORY, O_PATH } from "../constants.ts";
import { createSys } from "../create-sys.ts";
import { SysError } from "../errors.ts";

export interface TestDirectory extends TemporaryDirectory {
  readonly fd: number;
}

export const sys: Sys = createSys();
export const isRoot = process.getuid?.() === 0;

export function testDirectory(): TestDirectory {
  const directory = temporaryDirectory("sys");
  const fd = sys.open(directory.path, O_PATH | O_DIRECTORY);
  return {
    path: directory.path,
    fd,
    [Symbol.dispose]() {
      sys.close(fd);
      directory[Symbol.dispose]();
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
