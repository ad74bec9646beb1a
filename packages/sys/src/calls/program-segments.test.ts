import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, readlinkSync, readSync } from "node:fs";
import type { CallContext } from "./context.ts";
import { createSys } from "../create-sys.ts";
import { processCalls } from "./processes.ts";
import { programSegments, readOnlySegments } from "./program-segments.ts";

interface Header {
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  readonly bytes: bigint;
}

function elf(headers: readonly Header[]): Buffer {
  const file = Buffer.alloc(64 + headers.length * 56);
  file.writeUInt32BE(0x7f454c46, 0);
  file[4] = 2;
  file[5] = 1;
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(headers.length, 56);
  for (const [index, { type, flags, address, bytes }] of headers.entries()) {
    const at = 64 + index * 56;
    file.writeUInt32LE(type, at);
    file.writeUInt32LE(flags, at + 4);
    file.writeBigUInt64LE(address, at + 16);
    file.writeBigUInt64LE(bytes, at + 32);
  }
  return file;
}

test("the program's segments that cannot be written, wherever it was loaded", () => {
  const file = elf([
    { type: 6, flags: 4, address: 0x40n, bytes: 0x1f8n },
    { type: 1, flags: 4, address: 0n, bytes: 0x2f00n },
    { type: 1, flags: 5, address: 0x3d00n, bytes: 0x5000n },
    { type: 1, flags: 6, address: 0x9000n, bytes: 0x5000n },
    { type: 1, flags: 4, address: 0x20000n, bytes: 0x10n },
  ]);
  const at = 0x5500_0000_0000n;
  expect(readOnlySegments(file, at + 0x40n)).toEqual([
    { start: at, length: 0x2000n },
    { start: at + 0x3000n, length: 0x5000n },
  ]);
  expect(readOnlySegments(Buffer.alloc(4096), at)).toEqual([]);
});

interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly permissions: string;
  readonly path: string;
  readonly residentBytes: number;
}

function mappings(): Mapping[] {
  return readFileSync("/proc/self/smaps", "latin1")
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .map((text) => {
      const [, start = "", end = "", permissions = "", path = ""] =
        /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ *(.*)$/m.exec(text)!;
      const residentBytes = Number(/^Rss: +(\d+) kB/m.exec(text)?.[1]) * 1024;
      return { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), permissions, path, residentBytes };
    });
}

function ownResidentBytes(own: string): number {
  return mappings()
    .filter(({ path, permissions }) => path === own && permissions.startsWith("r-"))
    .reduce((sum, { residentBytes }) => sum + residentBytes, 0);
}

/** Makes the program's pages resident, also those that an earlier test released. */
function touchProgram(): void {
  const memory = openSync("/proc/self/mem", "r");
  const part = Buffer.alloc(1 << 20);
  for (const { start, length } of programSegments())
    for (let done = 0n; done < length;) {
      const wanted = Math.min(part.length, Number(length - done));
      const got = readSync(memory, part, 0, wanted, Number(start + done));
      if (got === 0) break;
      done += BigInt(got);
    }
  closeSync(memory);
}

test("only the program's own pages are released, nothing that may be unmapped; the program continues with fewer pages", () => {
  const own = readlinkSync("/proc/self/exe");
  const before = mappings();
  expect(programSegments().length).toBeGreaterThan(0);
  for (const { start, length } of programSegments()) {
    const holder = before.find((mapping) => mapping.start <= start && start + length <= mapping.end);
    expect(holder).toMatchObject({ path: own, permissions: expect.stringMatching(/^r-/) });
  }
  const bytes = ownResidentBytes(own);
  createSys().releaseFilePages(0);
  expect(ownResidentBytes(own)).toBeLessThan(bytes / 2);
  expect([3, 1, 2].toSorted()).toEqual([1, 2, 3]);
});

test("the pages are also released by a thread that does it later, while this one sleeps", async () => {
  const own = readlinkSync("/proc/self/exe");
  touchProgram();
  const bytes = ownResidentBytes(own);
  createSys().releaseFilePages(1);
  while (ownResidentBytes(own) > bytes / 2) await Bun.sleep(10);
});

test("no other address is given to the kernel", () => {
  const given: [ranges: bigint[], afterMs: number][] = [];
  const releasePages = (ranges: BigUint64Array, afterMs: number): number => {
    given.push([[...ranges], afterMs]);
    return 0;
  };
  processCalls({ native: { releasePages } } as unknown as CallContext).releaseFilePages(7);
  expect(given).toEqual([[programSegments().flatMap(({ start, length }) => [start, length]), 7]]);
});
