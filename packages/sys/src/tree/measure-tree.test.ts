import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DT_DIR, DT_UNKNOWN } from "../constants.ts";
import type { Stat } from "../contract.ts";
import { sys, testDirectory } from "../testing/support.ts";
import { measureTree, type TreeLimits } from "./measure-tree.ts";

const sizeOf = ({ size }: Stat): bigint => size;
const roomy: TreeLimits = { entries: 100, bytes: 1_000n, depth: 10 };

test("entries and bytes of a tree, and when it is larger than the limits", () => {
  using dir = testDirectory();
  mkdirSync(join(dir.path, "a/b"), { recursive: true });
  writeFileSync(join(dir.path, "a/b/file"), "12345");
  writeFileSync(join(dir.path, "x"), "123");
  const directory = sys.open(dir.path, 0);
  try {
    const measure = (change: Partial<TreeLimits>) => measureTree(sys, directory, { ...roomy, ...change }, sizeOf);
    expect(measure({})).toEqual({ entries: 4, bytes: 8n });
    expect(measure({ entries: 4, bytes: 8n, depth: 2 })).toEqual({ entries: 4, bytes: 8n });
    expect(measure({ entries: 3 })).toBeUndefined();
    expect(measure({ bytes: 7n })).toBeUndefined();
    expect(measure({ depth: 1 })).toBeUndefined();
  } finally {
    sys.close(directory);
  }
});

test("a symlink is not followed, and a directory without a type is entered", () => {
  using dir = testDirectory();
  using elsewhere = testDirectory();
  writeFileSync(join(elsewhere.path, "large"), "");
  truncateSync(join(elsewhere.path, "large"), 5_000);
  symlinkSync(elsewhere.path, join(dir.path, "link"));
  mkdirSync(join(dir.path, "inner"));
  writeFileSync(join(dir.path, "inner/file"), "1");
  const untyped: typeof sys = {
    ...sys,
    readDirectory: (fd, limit) =>
      sys
        .readDirectory(fd, limit)
        .map((entry) => ({ ...entry, type: entry.type === DT_DIR ? DT_UNKNOWN : entry.type })),
  };
  const directory = sys.open(dir.path, 0);
  try {
    expect(measureTree(sys, directory, roomy, sizeOf)?.entries).toBe(3);
    expect(measureTree(untyped, directory, roomy, sizeOf)).toEqual(measureTree(sys, directory, roomy, sizeOf)!);
  } finally {
    sys.close(directory);
  }
});
