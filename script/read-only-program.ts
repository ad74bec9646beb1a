/**
 * script/read-only-program.ts FILE: makes the JavaScript in an executable of `bun build --compile` read-only.
 *
 * Bun adds the program (sources and bytecode, some megabytes) as the section .bun to the end of the segment for writable data. No code writes
 * to it, but the kernel cannot know that, so it cannot drop these pages from memory and read them from the file again. So this script makes a
 * read-only segment of it. It uses the header of the notes' segment for this; the notes stay in the file as sections.
 *
 * The program's end in the file also gave the variables before it (.bss, zero at the start) a place in the file, 1.8 MB of zeros. The kernel maps
 * pages of a file with their neighbours, so up to 0.6 MB of these zeros lay in the memory of a process, which cannot give them back: it also
 * writes there. So the segment ends in the file where the variables begin, and the kernel makes a page when the process first writes to it.
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";

const PT_LOAD = 1;
const PT_NOTE = 4;
const SHT_NOBITS = 8;
const PF_R = 4;
const PF_W = 2;
const programHeaderBytes = 56;
const sectionHeaderBytes = 64;
const pageBytes = 4096;

function splitProgram(path: string): void {
  const fd = openSync(path, "r+");
  try {
    const read = (offset: number, length: number): Buffer => {
      const bytes = Buffer.alloc(length);
      if (readSync(fd, bytes, 0, length, offset) !== length) throw new Error("the file is too short");
      return bytes;
    };
    const file = read(0, 64);
    const isElf64 = file.readUInt32BE(0) === 0x7f454c46 && file[4] === 2 && file[5] === 1;
    if (!isElf64 || file.readUInt16LE(54) !== programHeaderBytes || file.readUInt16LE(58) !== sectionHeaderBytes)
      throw new Error("it is not a 64-bit little-endian ELF file");
    const sectionsAt = Number(file.readBigUInt64LE(40));
    const sections = Array.from({ length: file.readUInt16LE(60) }, (_, index) => {
      const header = read(sectionsAt + index * sectionHeaderBytes, sectionHeaderBytes);
      return {
        nameAt: header.readUInt32LE(0),
        type: header.readUInt32LE(4),
        address: Number(header.readBigUInt64LE(16)),
        offset: Number(header.readBigUInt64LE(24)),
        bytes: Number(header.readBigUInt64LE(32)),
      };
    });
    const names = sections[file.readUInt16LE(62)]!;
    const program = sections.find(({ nameAt }) => read(names.offset + nameAt, 5).toString("latin1") === ".bun\0");
    if (program === undefined) throw new Error("it has no section .bun");

    const headersAt = Number(file.readBigUInt64LE(32));
    const headers = read(headersAt, file.readUInt16LE(56) * programHeaderBytes);
    const at = (type: number, isRight: (header: Buffer) => boolean = () => true): Buffer | undefined =>
      Array.from({ length: headers.length / programHeaderBytes }, (_, index) =>
        headers.subarray(index * programHeaderBytes, (index + 1) * programHeaderBytes),
      ).find((header) => header.readUInt32LE(0) === type && isRight(header));
    const data = at(PT_LOAD, (header) => {
      const begin = Number(header.readBigUInt64LE(16));
      const end = begin + Number(header.readBigUInt64LE(40));
      const isLast = end === Math.ceil((program.address + program.bytes) / pageBytes) * pageBytes;
      return (header.readUInt32LE(4) & PF_W) !== 0 && begin < program.address && isLast;
    });
    const notes = at(PT_NOTE);
    const isAligned = program.address % pageBytes === 0 && program.offset % pageBytes === 0;
    if (data === undefined || notes === undefined || notes.byteOffset < data.byteOffset || !isAligned)
      throw new Error("its segments are not as bun makes them; perhaps this version of bun uses another layout");
    const dataAt = Number(data.readBigUInt64LE(16));
    const zeros = sections
      .filter(({ address, bytes }) => address > dataAt && address + bytes <= program.address)
      .reduce((last, section) => (section.address > last.address ? section : last));
    if (zeros.type !== SHT_NOBITS) throw new Error("its last section of data is not .bss");
    const dataBytes = zeros.address - dataAt;
    if (read(Number(data.readBigUInt64LE(8)) + dataBytes, zeros.bytes).some((byte) => byte !== 0))
      throw new Error("its .bss is not zero in the file");
    data.writeBigUInt64LE(BigInt(dataBytes), 32);
    data.writeBigUInt64LE(BigInt(program.address - dataAt), 40);
    notes.writeUInt32LE(PT_LOAD, 0);
    notes.writeUInt32LE(PF_R, 4);
    for (const [field, value] of [
      [8, program.offset],
      [16, program.address],
      [24, program.address],
      [32, program.bytes],
      [40, program.bytes],
      [48, pageBytes],
    ] as const)
      notes.writeBigUInt64LE(BigInt(value), field);
    writeSync(fd, headers, 0, headers.length, headersAt);
  } finally {
    closeSync(fd);
  }
}

const path = process.argv[2] ?? "";
try {
  splitProgram(path);
} catch (error) {
  console.error(`making the program in ${path} read-only: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
