import { expect, test } from "bun:test";
import { readTar } from "./testing/read-tar.ts";
import { TreeWriter, treeEntry, type TreeFile } from "./tree-writer.ts";
import { TarWriter } from "./writer.ts";

const nobody = (): Uint8Array => {
  throw new Error("it is no symlink");
};

function file(mode: number, change: Partial<TreeFile> = {}): TreeFile {
  return { mode, nlink: 1, uid: 7, gid: 8, rdevMajor: 0, rdevMinor: 0, size: 0n, mtimeNs: 5_000_000_000n, ...change };
}

test("each type of file becomes its kind of entry, and a socket becomes none", () => {
  const kind = (mode: number) => treeEntry(Buffer.from("x"), file(mode), [])?.kind;
  expect([0o010644, 0o020644, 0o040755, 0o060644, 0o100644, 0o120777, 0o140755].map(kind)).toEqual([
    "fifo",
    "character-device",
    "directory",
    "block-device",
    "file",
    "symlink",
    undefined,
  ]);
  expect(treeEntry(Buffer.from("d"), file(0o041777), [])).toMatchObject({ path: Buffer.from("d/"), mode: 0o1777 });
  expect(treeEntry(Buffer.from("d/"), file(0o040755), [])).toMatchObject({ path: Buffer.from("d/") });
});

test("later names of a file become hard links, without content and xattrs", () => {
  const chunks: Uint8Array[] = [];
  const tar = new TarWriter((chunk) => void chunks.push(chunk));
  const files = new TreeWriter(tar);
  const xattrs = [{ name: "user.x", value: Buffer.from("1") }];
  const write = (path: string, of: TreeFile, identity = path, target = nobody): boolean =>
    files.write(treeEntry(Buffer.from(path), of, xattrs)!, of, identity, target);
  const both = file(0o100600, { nlink: 2, size: 3n });
  expect(write("first", both, "1:2")).toBe(true);
  tar.data(Buffer.from("abc"));
  expect(files.fill()).toBe(false);
  expect(write("second", both, "1:2")).toBe(false);
  expect(write("link", file(0o120777), "1:3", () => Buffer.from("to"))).toBe(false);
  expect(write("null", file(0o020666, { rdevMajor: 1, rdevMinor: 3 }))).toBe(false);
  tar.finish();
  const entries = readTar(Buffer.concat(chunks));
  expect(
    entries.map(({ kind, path, linkPath, xattrs }) => [kind, String(path), String(linkPath), xattrs.length]),
  ).toEqual([
    ["file", "first", "", 1],
    ["hardlink", "second", "first", 0],
    ["symlink", "link", "to", 1],
    ["character-device", "null", "", 1],
  ]);
  expect(entries[0]!.content.toString()).toBe("abc");
  expect(entries[3]).toMatchObject({ deviceMajor: 1, deviceMinor: 3, uid: 7, gid: 8 });
});

test("when a file became shorter, zeros fill it, part by part", () => {
  const chunks: Uint8Array[] = [];
  const tar = new TarWriter((chunk) => void chunks.push(chunk));
  const files = new TreeWriter(tar);
  const shrunk = file(0o100600, { size: 200_000n });
  expect(files.write(treeEntry(Buffer.from("f"), shrunk, [])!, shrunk, "f", nobody)).toBe(true);
  tar.data(Buffer.from("abc"));
  let parts = 1;
  while (files.fill()) parts++;
  expect(parts).toBe(4);
  tar.finish();
  const [entry] = readTar(Buffer.concat(chunks));
  expect(entry!.content).toEqual(Buffer.concat([Buffer.from("abc"), Buffer.alloc(199_997)]));
});
