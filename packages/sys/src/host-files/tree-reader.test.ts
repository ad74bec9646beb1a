import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSys } from "../create-sys.ts";
import { helperExecutable } from "../helper.ts";
import { S_IFLNK, S_IFMT } from "../constants.ts";
import type { ReadEntry } from "./tree-frames.ts";
import { createTreeReader, type TreeReading, type TreeRequest } from "./tree-reader.ts";
import { until } from "@fathom/base/testing";

const sys = createSys();
const readTree = createTreeReader({ executable: () => helperExecutable(sys), answerMs: 20_000 });

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "fathom-tree-reader-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function request(path: string, wants: TreeRequest["wants"], more: Partial<TreeRequest> = {}): TreeRequest {
  return { root, path, wants, what: `${path} in a test`, key: root, ...more };
}

interface Read {
  readonly entry: ReadEntry;
  readonly content: string;
}

/** All entries, by path; `content` decides whose content is read. */
async function readAll(
  reading: TreeReading,
  content: (entry: ReadEntry) => boolean = () => true,
): Promise<Map<string, Read>> {
  using _ = reading;
  const all = new Map<string, Read>();
  for (let entry = await reading.next(); entry !== undefined; entry = await reading.next()) {
    const parts: Uint8Array[] = [];
    if (content(entry)) for await (const part of reading.content()) parts.push(Buffer.from(part));
    all.set(Buffer.from(entry.path).toString(), { entry, content: Buffer.concat(parts).toString("latin1") });
  }
  return all;
}

test("a tree: names in byte order, kinds, contents of several parts, targets, xattrs", async () => {
  const bytes = Buffer.alloc(3 << 20);
  for (let at = 0; at < bytes.length; at++) bytes[at] = (at * 31) >> 3;
  mkdirSync(join(root, "a/empty"), { recursive: true });
  writeFileSync(join(root, "a/file"), bytes);
  writeFileSync(join(root, "a-b"), "x");
  writeFileSync(join(root, "none"), "");
  symlinkSync("/etc/passwd", join(root, "link"));
  sys.mknodat(-100, join(root, "fifo"), 0o010600, 0, 0);
  sys.setxattrat(-100, join(root, "a"), "user.one", Buffer.from("1"));
  const all = await readAll(readTree(request(".", "tree")));
  expect([...all.keys()]).toEqual(["", "a", "a/empty", "a/file", "a-b", "fifo", "link", "none"]);
  expect(all.get("a/file")!.content).toBe(bytes.toString("latin1"));
  expect(all.get("a-b")!.content).toBe("x");
  expect(Buffer.from(all.get("link")!.entry.target).toString()).toBe("/etc/passwd");
  expect(all.get("a")!.entry.xattrs.find(({ name }) => name === "user.one")?.value).toEqual(Buffer.from("1"));
  expect(Number(all.get("a/file")!.entry.size)).toBe(bytes.length);
});

test("contents that nobody requests are left out, and the content of a file with two names comes once", async () => {
  writeFileSync(join(root, "a"), "first");
  linkSync(join(root, "a"), join(root, "b"));
  writeFileSync(join(root, "c"), "alone");
  const seen = new Set<string>();
  const all = await readAll(readTree(request(".", "tree")), ({ identity, path }) => {
    const isNew = !seen.has(identity);
    seen.add(identity);
    return isNew && Buffer.from(path).toString() !== "c";
  });
  expect([...all].map(([path, { content }]) => [path, content])).toEqual([
    ["", ""],
    ["a", "first"],
    ["b", ""],
    ["c", ""],
  ]);
});

test("no link leads out of the root, a file is read through a link, and errors name the request", async () => {
  writeFileSync(join(root, "file"), "inside");
  symlinkSync("/file", join(root, "link"));
  symlinkSync("../../../../../etc/passwd", join(root, "out"));
  const file = await readAll(readTree(request("link", "file")));
  expect(file.get("")!.content).toBe("inside");
  const link = await readAll(readTree(request("link", "stat")));
  expect(link.get("")!.entry.mode & S_IFMT).toBe(S_IFLNK);
  await expect(readAll(readTree(request("out", "file")))).rejects.toThrow(/out in a test.*ENOENT/);
  expect(() => readTree(request("a\0b", "stat"))).toThrow("it has a zero byte");
  expect(() => readTree(request("x/".repeat(3000), "stat"))).toThrow("ENAMETOOLONG");
});

test("of another mount in the tree, only the mount point", async () => {
  const all = await readAll(readTree(request("dev", "sizes", { root: "/" })));
  // Whatever is mounted there on this machine: /dev/pts exists on all.
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith("/dev/"))
    .map((point) => point.slice("/dev/".length));
  const outermost = points.filter((point) => !points.some((other) => point.startsWith(`${other}/`)));
  const foreign = [...all].filter(([, { entry }]) => entry.foreign).map(([path]) => path);
  expect(outermost).not.toEqual([]);
  expect(foreign).toEqual(expect.arrayContaining(outermost));
  expect([...all.keys()].filter((path) => outermost.some((point) => path.startsWith(`${point}/`)))).toEqual([]);
});

describe("a reader process that never answers", () => {
  /** Like a fathom-init whose call hangs. */
  function silent(answerMs: number) {
    const path = join(root, "silent");
    writeFileSync(path, "#!/bin/sh\nexec sleep 1000\n", { mode: 0o755 });
    const fd = openSync(path, "r");
    return {
      read: createTreeReader({ executable: () => fd, answerMs }),
      [Symbol.dispose]: () => closeSync(fd),
    };
  }

  const descriptors = (): number => readdirSync("/proc/self/fd").length;

  test("the read ends after its time limit, and nothing of it is left", async () => {
    using silence = silent(50);
    const before = descriptors();
    using reading = silence.read(request("x", "stat"));
    await expect(reading.next()).rejects.toThrow(
      /^x in a test does not answer: nothing could be read of it for 0.05 s\./,
    );
    await until("its descriptors are closed", () => descriptors() <= before);
  });

  test("the read ends when the signal aborts, also with a signal that had aborted before", async () => {
    using silence = silent(60_000);
    const before = descriptors();
    const controller = new AbortController();
    using reading = silence.read(request("x", "stat", { signal: controller.signal }));
    const next = reading.next();
    controller.abort();
    await expect(next).rejects.toMatchObject({ code: "aborted" });
    using late = silence.read(request("x", "stat", { signal: controller.signal }));
    await expect(late.next()).rejects.toMatchObject({ code: "aborted" });
    await until("their descriptors are closed", () => descriptors() <= before);
  });
});
