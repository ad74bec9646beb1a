/**
 * Where this program is in memory: the segments of its ELF file that are mapped without write permission, text and constants. Their addresses
 * come from the program's own headers (elf(5), getauxval(3)) and do not change while it runs. An address from a list of mappings could belong
 * to something else by the time it is used.
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";

export interface Segment {
  readonly start: bigint;
  /** Bytes. */
  readonly length: bigint;
}

const AT_PHDR = 3n;
const PT_LOAD = 1;
const PT_PHDR = 6;
const PF_W = 2;
const pageBytes = 4096n;
const headerBytes = 64;
const programHeaderBytes = 56;

/**
 * @param elf The beginning of a 64-bit little-endian ELF file, with its program headers.
 * @param headersAt Address of the program headers in memory: an executable that may be loaded anywhere is moved by the same distance.
 */
export function readOnlySegments(elf: Buffer, headersAt: bigint): Segment[] {
  const isElf64 = elf.readUInt32BE(0) === 0x7f454c46 && elf[4] === 2 && elf[5] === 1;
  if (!isElf64 || elf.readUInt16LE(54) !== programHeaderBytes) return [];
  const offset = Number(elf.readBigUInt64LE(32));
  const headers = Array.from({ length: elf.readUInt16LE(56) }, (_, index) => {
    const at = offset + index * programHeaderBytes;
    return {
      type: elf.readUInt32LE(at),
      flags: elf.readUInt32LE(at + 4),
      address: elf.readBigUInt64LE(at + 16),
      fileBytes: elf.readBigUInt64LE(at + 32),
    };
  });
  const own = headers.find(({ type }) => type === PT_PHDR);
  if (own === undefined) return [];
  const moved = headersAt - own.address;
  return headers
    .filter(({ type, flags }) => type === PT_LOAD && (flags & PF_W) === 0)
    .map(({ address, fileBytes }) => {
      const start = ((address + moved) / pageBytes) * pageBytes;
      const end = ((address + moved + fileBytes) / pageBytes) * pageBytes;
      return { start, length: end - start };
    })
    .filter(({ length }) => length > 0n);
}

let known: readonly Segment[] | undefined;

/** For this process. Empty when its headers are not found. */
export function programSegments(): readonly Segment[] {
  if (known !== undefined) return known;
  const vector = readFileSync("/proc/self/auxv");
  let headersAt: bigint | undefined;
  for (let at = 0; at + 16 <= vector.length; at += 16)
    if (vector.readBigUInt64LE(at) === AT_PHDR) headersAt = vector.readBigUInt64LE(at + 8);
  const elf = Buffer.alloc(headerBytes + 64 * programHeaderBytes);
  const file = openSync("/proc/self/exe", "r");
  try {
    readSync(file, elf, 0, elf.length, 0);
  } finally {
    closeSync(file);
  }
  known = headersAt === undefined ? [] : readOnlySegments(elf, headersAt);
  return known;
}
