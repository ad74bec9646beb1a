import { expect, test } from "bun:test";
import type { Stat } from "@fathom/sys";
import { readUserFiles, readUserFilesOf } from "./user-files.ts";

interface File {
  readonly mode: number;
  readonly text: string;
  readonly size?: bigint;
}

/** Files by path below descriptor 3; counts what is open. */
function fakeSys(files: Readonly<Record<string, File>>): {
  sys: Parameters<typeof readUserFiles>[0];
  open: () => number;
  paths: string[];
} {
  const opened = new Map<number, { file: File; rest: string }>();
  const paths: string[] = [];
  let next = 10;
  const at = (fd: number): { file: File; rest: string } => opened.get(fd)!;
  return {
    open: () => opened.size,
    paths,
    sys: {
      openat2: (_directory, path, how) => {
        paths.push(`${String(path)} ${how.resolve ?? 0}`);
        const file = String(path).endsWith("/root") ? { mode: 0o040_755, text: "" } : files[String(path)];
        if (file === undefined) throw new Error("ENOENT");
        opened.set(next, { file, rest: file.text });
        return next++;
      },
      fstat: (fd) => ({ mode: at(fd).file.mode, size: at(fd).file.size ?? BigInt(at(fd).file.text.length) }) as Stat,
      read: (fd, buffer) => {
        const entry = at(fd);
        // In small pieces, as a file system may.
        const piece = Buffer.from(entry.rest.slice(0, 3));
        entry.rest = entry.rest.slice(3);
        buffer.set(piece);
        return piece.length;
      },
      close: (fd) => void opened.delete(fd),
    },
  };
}

const regular = 0o100_644;

test("whole files, read inside the root only, nothing stays open", () => {
  const { sys, open, paths } = fakeSys({ "etc/passwd": { mode: regular, text: "root:x:0:0:::\n" } });
  expect(readUserFiles(sys, 3)).toEqual({ passwd: "root:x:0:0:::\n", group: undefined });
  expect(open()).toBe(0);
  expect(paths).toEqual(["etc/passwd 18", "etc/group 18"]);
  readUserFilesOf(sys, 77);
  expect(paths[2]).toBe("/proc/77/root 0");
  expect(open()).toBe(0);
});

test("a FIFO, a directory or a huge file in their place", () => {
  const { sys, open } = fakeSys({
    "etc/passwd": { mode: 0o010_644, text: "" },
    "etc/group": { mode: regular, text: "", size: 1n << 40n },
  });
  expect(() => readUserFiles(sys, 3)).toThrow(/the image's \/etc\/group has 1099511627776 bytes/);
  expect(open()).toBe(0);
});
