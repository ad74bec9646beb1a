/** The few file operations that cgroups need, synchronous and replaceable in tests. Errors have a `code` ("ENOENT"), as Node's do. */
import { accessSync, closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, writeSync } from "node:fs";
import { constants } from "node:fs";

export interface CgroupFileSystem {
  read(path: string): string;
  /** One write(2) of the whole text: the kernel accepts a value only in one piece. Never creates a file. */
  write(path: string, text: string): void;
  mkdir(path: string): void;
  rmdir(path: string): void;
  /** Names of the directories in a directory. */
  directories(path: string): string[];
  exists(path: string): boolean;
}

export const hostFileSystem: CgroupFileSystem = {
  read: (path) => readFileSync(path, "utf8"),
  write: (path, text) => {
    const fd = openSync(path, constants.O_WRONLY);
    try {
      writeSync(fd, text);
    } finally {
      closeSync(fd);
    }
  },
  mkdir: (path) => mkdirSync(path, 0o755),
  rmdir: (path) => rmdirSync(path),
  directories: (path) =>
    readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])),
  exists: (path) => {
    try {
      accessSync(path);
      return true;
    } catch {
      return false;
    }
  },
};
