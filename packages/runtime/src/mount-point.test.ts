import { expect, test } from "bun:test";
import { mountAbove, mountPointOf } from "./mount-point.ts";

test("the longest mount point above a path", () => {
  const info = [
    "1 0 8:1 / / rw - ext4 /dev/vda rw",
    "2 1 0:5 / /var rw - tmpfs tmpfs rw",
    "3 2 0:6 / /var/lib rw - tmpfs tmpfs rw",
    String.raw`4 1 0:7 / /with\040blank rw - tmpfs tmpfs rw`,
    "",
  ].join("\n");
  expect(mountPointOf("/var/lib/fathom/x", info)).toBe("/var/lib");
  expect(mountPointOf("/var/library", info)).toBe("/var");
  expect(mountPointOf("/var/lib", info)).toBe("/var/lib");
  expect(mountPointOf("/home", info)).toBe("/");
  expect(mountPointOf("/with blank/a", info)).toBe("/with blank");
  expect(mountPointOf("/proc/self")).toBe("/proc");
});

test("whether mounts below it propagate", () => {
  const info = [
    "1 0 8:1 / / rw - ext4 /dev/vda rw",
    "2 1 0:5 / /shared rw shared:7 - tmpfs tmpfs rw",
    "3 1 0:6 / /slave rw master:7 - tmpfs tmpfs rw",
    "4 1 0:7 / /both rw shared:8 master:7 - tmpfs shared:x rw",
  ].join("\n");
  const kinds = (path: string) => [mountAbove(path, info).shared, mountAbove(path, info).slave];
  expect(["/a", "/shared/a", "/slave", "/both/b"].map(kinds)).toEqual([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ]);
});
