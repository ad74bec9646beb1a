import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EngineError } from "@fathom/base";
import { S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG } from "../constants.ts";
import { createSys } from "../create-sys.ts";
import { isSysError } from "../errors.ts";
import { helperExecutable } from "../helper.ts";
import { createTreeWriter, WriteRefusal, type TreeWriting, type WriteEntry } from "./tree-writer.ts";

const sys = createSys();
const writeTree = createTreeWriter({ executable: () => helperExecutable(sys), answerMs: 20_000 });
/** These tests run without root: nobody can give a file to another user. */
const owner = { uid: process.getuid!(), gid: process.getgid!() };

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "fathom-tree-writer-"));
  mkdirSync(join(root, "to"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function open(more: { readonly path?: string; readonly keepKinds?: boolean } = {}): TreeWriting {
  return writeTree({ root, path: "to", keepKinds: false, what: "the test's tree", key: root, ...more });
}

function entryOf(path: string, mode: number, more: Partial<WriteEntry> = {}): WriteEntry {
  return {
    path: Buffer.from(path),
    mode,
    ...owner,
    mtimeNs: 1_000_000_000_500_000_000n,
    size: 0,
    target: Buffer.alloc(0),
    hardLink: false,
    rdevMajor: 0,
    rdevMinor: 0,
    ...more,
  };
}

function put(writing: TreeWriting, entry: WriteEntry, content = ""): void {
  writing.begin(entry);
  if (content !== "") writing.data(Buffer.from(content), 0);
  writing.end([]);
}

async function write(entries: readonly (readonly [WriteEntry, string?])[], keepKinds = false): Promise<void> {
  using writing = open({ keepKinds });
  await writing.place();
  for (const [entry, content] of entries)
    put(writing, content === undefined ? entry : { ...entry, size: content.length }, content);
  await writing.finish();
}

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

const at = (path: string): string => join(root, "to", path);

test("files, directories that nobody named, symlinks, hard links, a FIFO: content, modes and times", async () => {
  const directory = entryOf("d", S_IFDIR | 0o1750, { mtimeNs: 5_000_000_000n });
  using writing = open();
  expect(await writing.place()).toEqual({ directory: true, readOnly: false, onRootMount: true });
  put(writing, directory);
  put(writing, entryOf("d/deep/er/file", S_IFREG | 0o4640, { size: 5 }), "hello");
  put(writing, entryOf("link", S_IFLNK | 0o777, { target: Buffer.from("/etc/passwd") }));
  put(writing, entryOf("d/hard", S_IFREG, { hardLink: true, target: Buffer.from("d/deep/er/file") }));
  put(writing, entryOf("fifo", S_IFIFO | 0o622));
  writing.times(directory);
  await writing.finish();
  expect(readFileSync(at("d/hard"), "utf8")).toBe("hello");
  expect(statSync(at("d/hard")).ino).toBe(statSync(at("d/deep/er/file")).ino);
  expect(readlinkSync(at("link"))).toBe("/etc/passwd");
  const shown = (path: string): string => (lstatSync(at(path)).mode & 0o7777).toString(8);
  expect(["d", "d/deep", "d/deep/er/file", "fifo"].map(shown)).toEqual(["1750", "755", "4640", "622"]);
  expect(statSync(at("d")).mtimeMs).toBe(5000);
  expect(statSync(at("d/hard")).mtimeMs).toBe(1_000_000_000_500);
});

test("content of many parts arrives whole, and holes stay holes", async () => {
  const bytes = Buffer.alloc(5 << 20, "some bytes of a file ");
  using writing = open();
  await writing.place();
  writing.begin(entryOf("big", S_IFREG | 0o600, { size: bytes.length }));
  for (let offset = 0; offset < bytes.length; offset += 700_000) {
    writing.data(bytes.subarray(offset, offset + 700_000), offset);
    await writing.send();
  }
  writing.end([{ name: "user.note", value: Buffer.from("x") }]);
  put(writing, entryOf("hole", S_IFREG | 0o600, { size: 10 << 20 }), "start");
  await writing.finish();
  expect(readFileSync(at("big")).equals(bytes)).toBe(true);
  const hole = statSync(at("hole"));
  expect([hole.size, hole.blocks * 512 < 1 << 20]).toEqual([10 << 20, true]);
});

test("an existing file is replaced, a directory is merged, and a file replaces a whole directory", async () => {
  mkdirSync(at("kept/inner"), { recursive: true });
  mkdirSync(at("tree/inner"), { recursive: true });
  writeFileSync(at("tree/inner/file"), "old");
  writeFileSync(at("file"), "old");
  chmodSync(at("kept"), 0o700);
  await write([
    [entryOf("kept", S_IFDIR | 0o755)],
    [entryOf("tree", S_IFREG | 0o600), "new"],
    [entryOf("file", S_IFREG | 0o600), "new"],
  ]);
  expect(readdirSync(at("kept"))).toEqual(["inner"]);
  expect(statSync(at("kept")).mode & 0o777).toBe(0o755);
  expect([readFileSync(at("tree"), "utf8"), readFileSync(at("file"), "utf8")]).toEqual(["new", "new"]);
});

test("kinds that shall stay are not replaced, and the error says which", async () => {
  mkdirSync(at("d"));
  writeFileSync(at("f"), "old");
  const first = await failure(write([[entryOf("d", S_IFREG | 0o600), "x"]], true));
  const second = await failure(write([[entryOf("f", S_IFDIR | 0o700)]], true));
  for (const error of [first, second]) expect(error).toBeInstanceOf(WriteRefusal);
  expect([first, second].map((error) => error instanceof WriteRefusal && [error.reason, error.path])).toEqual([
    ["directory-would-be-replaced", "d"],
    ["non-directory-would-be-replaced", "f"],
  ]);
  expect([statSync(at("d")).isDirectory(), readFileSync(at("f"), "utf8")]).toEqual([true, "old"]);
});

test("no symlink leads out of the destination: of the tree, or made a moment ago", async () => {
  mkdirSync(join(root, "outside"));
  symlinkSync("../outside", at("relative"));
  symlinkSync(join(root, "outside"), at("absolute"));
  const made = entryOf("made", S_IFLNK | 0o777, { target: Buffer.from("../outside") });
  const attempts: (readonly (readonly [WriteEntry, string?])[])[] = [
    [[entryOf("relative/f", S_IFREG | 0o600), "x"]],
    [[entryOf("absolute/f", S_IFREG | 0o600), "x"]],
    [[made], [entryOf("made/f", S_IFREG | 0o600), "x"]],
    [[entryOf("hard", S_IFREG, { hardLink: true, target: Buffer.from("relative/secret") })]],
  ];
  for (const entries of attempts) {
    const error = await failure(write(entries));
    expect(error instanceof WriteRefusal && error.reason).toBe("leaves-the-destination");
  }
  expect(readdirSync(join(root, "outside"))).toEqual([]);
  // A name in the way is replaced and not followed.
  await write([[entryOf("absolute", S_IFREG | 0o600), "mine"]]);
  expect([lstatSync(at("absolute")).isFile(), readdirSync(join(root, "outside"))]).toEqual([true, []]);
});

test("a symlink inside the destination is followed, and the destination itself may be one", async () => {
  mkdirSync(at("real"));
  symlinkSync("real", at("inner"));
  symlinkSync("/to", join(root, "door"));
  await write([[entryOf("inner/f", S_IFREG | 0o600), "x"]]);
  expect(readFileSync(at("real/f"), "utf8")).toBe("x");
  using writing = open({ path: "door" });
  await writing.place();
  put(writing, entryOf("g", S_IFREG | 0o600, { size: 1 }), "y");
  await writing.finish();
  expect(readFileSync(at("g"), "utf8")).toBe("y");
});

test("a destination that does not exist, a file as destination, and a device that may not be made", async () => {
  using missing = open({ path: "nosuch" });
  expect(isSysError(await failure(missing.place()), "ENOENT")).toBe(true);
  writeFileSync(at("f"), "");
  using file = open({ path: "to/f" });
  expect((await file.place()).directory).toBe(false);
  using through = open({ path: "to/f/g" });
  expect(isSysError(await failure(through.place()), "ENOTDIR")).toBe(true);
});

test("after a failure nothing more is written, and the failure names the entry", async () => {
  writeFileSync(at("f"), "");
  const error = await failure(
    write([
      [entryOf("f/below", S_IFREG | 0o600), "x"],
      [entryOf("after", S_IFREG | 0o600), "x"],
    ]),
  );
  expect(isSysError(error, "ENOTDIR")).toBe(true);
  expect(String(error)).toContain("f/below");
  expect(readdirSync(at(""))).toEqual(["f"]);
});

test("a writing that is disposed of ends its process", async () => {
  const client = new AbortController();
  const writing = writeTree({ root, path: "to", keepKinds: false, what: "it", key: root, signal: client.signal });
  await writing.place();
  client.abort();
  put(writing, entryOf("late", S_IFREG | 0o600, { size: 1 }), "x");
  await expect(writing.finish()).rejects.toMatchObject({ code: "aborted" });
  expect(readdirSync(at(""))).toEqual([]);
});

test("the error with which a signal aborts is the error of the writing", async () => {
  const owner = new AbortController();
  const writing = writeTree({ root, path: "to", keepKinds: false, what: "it", key: root, signal: owner.signal });
  await writing.place();
  const finishing = writing.finish();
  const removed = new EngineError("conflict", "somebody has removed it");
  owner.abort(removed);
  await expect(finishing).rejects.toBe(removed);
});
