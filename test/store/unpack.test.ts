/** Layers unpacked by root: the result, and what is rejected. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { makeTar, type TestEntry } from "@fathom/archive/testing";
import { createLayerUnpacker } from "@fathom/store";
import { createSys } from "@fathom/sys";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { descriptorsInto } from "@fathom/base/testing";

const sys = createSys();
let directory: string;
let diff: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "fathom-unpack-"));
  diff = join(directory, "diff");
  mkdirSync(diff);
});
afterEach(() => rmSync(directory, { recursive: true }));

function unpack(entries: readonly TestEntry[], chunkSize = 700) {
  const unpacker = createLayerUnpacker(sys, diff);
  const data = makeTar(entries);
  try {
    for (let at = 0; at < data.length; at += chunkSize) unpacker.write(data.subarray(at, at + chunkSize));
    return unpacker.finish();
  } finally {
    unpacker.abort();
  }
}

const path = (name: string): string => join(diff, name);
const openDescriptors = (): number => descriptorsInto(directory).length;

test("files, directories, links, devices with owner, mode, time and xattrs", () => {
  const before = openDescriptors();
  const result = unpack([
    { path: "./", kind: "directory", mode: 0o711 },
    { path: "etc/", kind: "directory", mode: 0o750, uid: 7, gid: 8 },
    { path: "etc/passwd", text: "root\n", mode: 0o4755, uid: 3_000_000, gid: 8 },
    { path: "etc/link", kind: "symlink", linkPath: "/outside/passwd" },
    { path: "etc/hard", kind: "hardlink", linkPath: "etc/passwd", mode: 0o4755, uid: 3_000_000, gid: 8 },
    { path: "made/on/the/way", text: "x", xattrs: [{ name: "user.note", value: Buffer.from("hi") }] },
    { path: "dev/null", kind: "character-device", deviceMajor: 1, deviceMinor: 3, mode: 0o666 },
    { path: "fifo", kind: "fifo", mode: 0o600 },
    {
      path: "capable",
      xattrs: [{ name: "security.capability", value: Buffer.from("0100000200200000000000000000000000000000", "hex") }],
    },
  ]);
  expect(result.size).toBe(6);
  expect(result.diffId).toMatch(/^sha256:[0-9a-f]{64}$/);
  const passwd = lstatSync(path("etc/passwd"), { bigint: true });
  expect([passwd.mode & 0o7777n, passwd.uid, passwd.gid, passwd.nlink, passwd.mtimeNs]).toEqual([
    0o4755n,
    3_000_000n,
    8n,
    2n,
    1_600_000_000_123_456_789n,
  ]);
  expect(lstatSync(path("etc"), { bigint: true }).mtimeNs).toBe(1_600_000_000_123_456_789n);
  expect(lstatSync(diff).mode & 0o7777).toBe(0o711);
  expect(readlinkSync(path("etc/link"))).toBe("/outside/passwd");
  expect(lstatSync(path("dev/null")).rdev).toBe(0x103);
  expect(sys.getxattrat(-100, path("capable"), "security.capability")?.length).toBe(20);
  expect(Buffer.from(sys.getxattrat(-100, path("made/on/the/way"), "user.note")!).toString()).toBe("hi");
  expect(openDescriptors()).toBe(before);
});

test("whiteouts and opaque directories get overlayfs's form", () => {
  unpack([
    { path: "dir/.wh.gone" },
    { path: "dir/.wh..wh..opq" },
    { path: "dir/.wh..wh.plnk/", kind: "directory", mode: 0o755 },
    { path: "again/", kind: "directory", mode: 0o755 },
    { path: ".wh.again" },
    { path: ".wh.before" },
    { path: "before/new", text: "1" },
    { path: "file", text: "1" },
    { path: ".wh.file" },
  ]);
  expect(lstatSync(path("dir/gone")).rdev).toBe(0);
  expect(lstatSync(path("dir/gone")).isCharacterDevice()).toBe(true);
  for (const name of ["dir", "again", "before"])
    expect(Buffer.from(sys.getxattrat(-100, path(name), "trusted.overlay.opaque")!).toString()).toBe("y");
  expect(readFileSync(path("file"), "utf8")).toBe("1");
  expect(existsSync(path("dir/.wh..wh.plnk"))).toBe(false);
});

test("a later entry replaces an earlier one", () => {
  unpack([
    { path: "a/b/c", text: "1" },
    { path: "a", text: "file now" },
    { path: "l", kind: "symlink", linkPath: "/etc" },
    { path: "l/", kind: "directory", mode: 0o755 },
    { path: "l/in", text: "x" },
  ]);
  expect(readFileSync(path("a"), "utf8")).toBe("file now");
  expect(readFileSync(path("l/in"), "utf8")).toBe("x");
});

test("a time that no file can have becomes the epoch, as in Docker", () => {
  const far = 10n ** 19n;
  unpack([
    { path: "late/", kind: "directory", mtimeNs: far },
    { path: "late/file", text: "x", mtimeNs: far },
    { path: "late/link", kind: "symlink", linkPath: "file", mtimeNs: -far },
    { path: "last", text: "x", mtimeNs: 2n ** 63n - 1n },
  ]);
  for (const name of ["late", "late/file", "late/link"]) expect(lstatSync(path(name)).mtimeMs).toBe(0);
  expect(lstatSync(path("last")).mtime.getUTCFullYear()).toBe(2262);
});

describe("rejected, and nothing exists outside of the layer afterwards", () => {
  test.each<[string, TestEntry[], string]>([
    ["climbing out", [{ path: "../evil", text: "x" }], '".." in it'],
    ["climbing out in the middle", [{ path: "a/../../evil", text: "x" }], '".." in it'],
    [
      "through a symlink",
      [
        { path: "l", kind: "symlink", linkPath: ".." },
        { path: "l/evil", text: "x" },
      ],
      "through a symlink",
    ],
    [
      "through an absolute symlink",
      [
        { path: "l", kind: "symlink", linkPath: "/tmp" },
        { path: "l/evil", text: "x" },
      ],
      "through a symlink",
    ],
    [
      "below a file",
      [
        { path: "f", text: "1" },
        { path: "f/evil", text: "x" },
      ],
      "no directory",
    ],
    ["a hard link out", [{ path: "h", kind: "hardlink", linkPath: "../secret" }], '".." in it'],
    [
      "a hard link through a symlink",
      [
        { path: "l", kind: "symlink", linkPath: "/etc" },
        { path: "h", kind: "hardlink", linkPath: "l/passwd" },
      ],
      "through a symlink",
    ],
    ["a hard link to nothing", [{ path: "h", kind: "hardlink", linkPath: "etc/passwd" }], "does not have"],
    [
      "a hard link to itself",
      [
        { path: "h", text: "1" },
        { path: "h", kind: "hardlink", linkPath: "./h" },
      ],
      "to itself",
    ],
    [
      "a hard link to a directory",
      [
        { path: "d/", kind: "directory", mode: 0o755 },
        { path: "h", kind: "hardlink", linkPath: "d" },
      ],
      "no file",
    ],
    ["a raw whiteout", [{ path: "w", kind: "character-device", deviceMajor: 0, deviceMinor: 0 }], "0:0"],
    ["a whiteout of the directory", [{ path: ".wh..." }], "whiteout of no name"],
    ["the root as a file", [{ path: "./.", text: "1" }], "own directory"],
  ])("%s", (_, entries, message) => {
    const before = openDescriptors();
    expect(() => unpack(entries)).toThrow(message);
    expect(readdirSync(directory)).toEqual(["diff"]);
    expect(existsSync("/tmp/evil")).toBe(false);
    expect(openDescriptors()).toBe(before);
  });

  test("overlayfs's own marks in an archive are dropped", () => {
    unpack([
      {
        path: "d/",
        kind: "directory",
        mode: 0o755,
        xattrs: [
          { name: "trusted.overlay.redirect", value: Buffer.from("/etc") },
          { name: "trusted.overlay.opaque", value: Buffer.from("y") },
        ],
      },
    ]);
    expect(sys.listxattrat(-100, path("d")).filter((name) => name.startsWith("trusted."))).toEqual([]);
  });

  test("a cut archive", () => {
    const unpacker = createLayerUnpacker(sys, diff);
    unpacker.write(makeTar([{ path: "f", text: "x".repeat(5000) }]).subarray(0, 3000));
    expect(() => unpacker.finish()).toThrow("unexpected EOF");
  });
});
