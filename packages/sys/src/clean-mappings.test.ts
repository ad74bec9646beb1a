import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { cleanFileMappings } from "./clean-mappings.ts";
import { createSys } from "./create-sys.ts";

const mapping = (line: string, rss: number, anonymous: number): string =>
  `${line}\nSize: 900 kB\nRss: ${rss} kB\nPss: 1 kB\nAnonymous: ${anonymous} kB\nVmFlags: rd ex mr\n`;

test("only files' pages without a private copy are let go", () => {
  const text =
    mapping("55d0c0000000-55d0c0100000 r-xp 00000000 fe:00 77 /usr/bin/a b", 512, 0) +
    mapping("55d0c0100000-55d0c0200000 r-xp 00100000 fe:00 77 /usr/bin/patched", 512, 4) +
    mapping("55d0c0200000-55d0c0300000 rw-p 00200000 fe:00 77 /usr/bin/data", 512, 0) +
    mapping("55d0c0300000-55d0c0400000 r--s 00200000 fe:00 77 /dev/shm/shared", 512, 0) +
    mapping("55d0c0400000-55d0c0500000 r--p 00000000 00:00 0 [vvar]", 4, 0) +
    mapping("55d0c0500000-55d0c0600000 r--p 00000000 fe:00 78 /usr/lib/cold.so", 0, 0);
  expect(cleanFileMappings(text)).toEqual([
    { start: 0x55d0c0000000n, length: 0x100000n, residentBytes: 512 * 1024, path: "/usr/bin/a b" },
  ]);
});

test("this process goes on after its pages were let go, and needs fewer of them", () => {
  const sys = createSys();
  const resident = (): number =>
    cleanFileMappings(readFileSync("/proc/self/smaps", "latin1")).reduce(
      (sum, { residentBytes }) => sum + residentBytes,
      0,
    );
  const before = resident();
  expect(sys.releaseFilePages()).toBeGreaterThan(before / 2);
  expect(resident()).toBeLessThan(before / 2);
  expect([3, 1, 2].toSorted()).toEqual([1, 2, 3]);
});
