/**
 * Device rules → a BPF_PROG_TYPE_CGROUP_DEVICE program, which cgroup v2 uses instead of files.
 * The program gets a `struct bpf_cgroup_dev_ctx { u32 access_type; u32 major; u32 minor; }` in r1. Its access_type is access << 16 | type. The
 * program returns 1 to allow. Sources: linux/bpf.h, kernel BPF instruction-set document.
 */
import type { DeviceAccess, DeviceException } from "./device-access.ts";

export interface BpfInstruction {
  readonly code: number;
  readonly destination: number;
  readonly source: number;
  readonly offset: number;
  readonly immediate: number;
}

export const bpf = {
  loadWord: 0x61, // BPF_LDX | BPF_MEM | BPF_W
  moveImmediate: 0xb7, // BPF_ALU64 | BPF_MOV | BPF_K
  moveWord: 0xbc, // BPF_ALU | BPF_MOV | BPF_X
  andWord: 0x54, // BPF_ALU | BPF_AND | BPF_K
  shiftRightWord: 0x74, // BPF_ALU | BPF_RSH | BPF_K
  jumpNotEqual: 0x55, // BPF_JMP | BPF_JNE | BPF_K
  exit: 0x95, // BPF_JMP | BPF_EXIT
} as const;

/** BPF_DEVCG_DEV_*, BPF_DEVCG_ACC_*. */
const typeNumbers = { b: 1, c: 2 } as const;
const accessBits: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };
const allAccess = 7;

/** Registers: r2 type, r3 access, r4 major, r5 minor, r1 scratch. */
const type = 2;
const access = 3;
const major = 4;
const minor = 5;

export function deviceInstructions(rules: DeviceAccess): BpfInstruction[] {
  const program: BpfInstruction[] = [
    instruction(bpf.loadWord, type, 1, 0),
    instruction(bpf.andWord, type, 0, 0, 0xffff),
    instruction(bpf.loadWord, access, 1, 0),
    instruction(bpf.shiftRightWord, access, 0, 0, 16),
    instruction(bpf.loadWord, major, 1, 4),
    instruction(bpf.loadWord, minor, 1, 8),
  ];
  for (const exception of rules.exceptions) program.push(...exceptionBlock(exception, rules.defaultAllow ? 0 : 1));
  program.push(...result(rules.defaultAllow ? 1 : 0));
  return program;
}

/** Tests that jump behind the block when one fails; after them comes the verdict. */
function exceptionBlock(exception: DeviceException, verdict: 0 | 1): BpfInstruction[] {
  const mask = [...exception.access].reduce((bits, letter) => bits | (accessBits[letter] ?? 0), 0);
  const tests: ((jump: number) => BpfInstruction[])[] = [
    (jump) => [instruction(bpf.jumpNotEqual, type, 0, jump, typeNumbers[exception.type])],
  ];
  if (mask !== allAccess) {
    // An exception that allows must cover the whole request; one that denies, any part of it.
    if (verdict === 1)
      tests.push((jump) => [
        instruction(bpf.moveWord, 1, access, 0),
        instruction(bpf.andWord, 1, 0, 0, allAccess & ~mask),
        instruction(bpf.jumpNotEqual, 1, 0, jump, 0),
      ]);
    else
      tests.push((jump) => [
        instruction(bpf.moveWord, 1, access, 0),
        instruction(bpf.andWord, 1, 0, 0, mask),
        // Not zero: continues after the jump that leaves the block.
        instruction(bpf.jumpNotEqual, 1, 0, 1, 0),
        instruction(jumpAlways, 0, 0, jump),
      ]);
  }
  if (exception.major !== undefined) {
    const value = exception.major;
    tests.push((jump) => [instruction(bpf.jumpNotEqual, major, 0, jump, value)]);
  }
  if (exception.minor !== undefined) {
    const value = exception.minor;
    tests.push((jump) => [instruction(bpf.jumpNotEqual, minor, 0, jump, value)]);
  }
  // Built from the end, so that each test knows the distance to the end of the block.
  let block = result(verdict);
  for (const test of tests.toReversed()) block = [...test(block.length), ...block];
  return block;
}

/** BPF_JMP | BPF_JA. */
export const jumpAlways = 0x05;

function result(verdict: 0 | 1): BpfInstruction[] {
  return [instruction(bpf.moveImmediate, 0, 0, 0, verdict), instruction(bpf.exit, 0, 0, 0)];
}

function instruction(code: number, destination: number, source: number, offset: number, immediate = 0): BpfInstruction {
  return { code, destination, source, offset, immediate };
}

/** The kernel's form: 8 bytes each, little-endian. */
export function encodeInstructions(program: readonly BpfInstruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, destination, source, offset, immediate }] of program.entries()) {
    view.setUint8(index * 8, code);
    view.setUint8(index * 8 + 1, (source << 4) | destination);
    view.setInt16(index * 8 + 2, offset, true);
    view.setInt32(index * 8 + 4, immediate, true);
  }
  return bytes;
}
