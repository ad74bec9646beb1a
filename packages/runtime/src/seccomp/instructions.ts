/** Classic BPF as seccomp takes it. Sources: seccomp(2), linux/filter.h, linux/bpf_common.h. */
import { EngineError } from "@fathom/base";

/** One sock_filter. Jump distances count from the next instruction. */
export interface Instruction {
  readonly code: number;
  readonly jumpTrue: number;
  readonly jumpFalse: number;
  readonly value: number;
}

export const opcode = {
  /** BPF_LD | BPF_W | BPF_ABS: a 32-bit word of seccomp_data. */
  load: 0x20,
  /** BPF_ALU | BPF_AND | BPF_K */
  and: 0x54,
  /** BPF_JMP | BPF_JA */
  jump: 0x05,
  /** BPF_JMP | BPF_JEQ | BPF_K and so on; unsigned. */
  jumpEqual: 0x15,
  jumpGreater: 0x25,
  jumpGreaterEqual: 0x35,
  /** BPF_RET | BPF_K */
  result: 0x06,
} as const;

/** Offsets in struct seccomp_data { int nr; u32 arch; u64 instruction_pointer; u64 args[6]; } of a little-endian machine. */
export const dataOffset = {
  number: 0,
  architecture: 4,
  argumentLow: (index: number): number => 16 + 8 * index,
  argumentHigh: (index: number): number => 20 + 8 * index,
} as const;

/** BPF_MAXINSNS: the kernel accepts no longer program. */
export const maxInstructions = 4096;

export function load(offset: number): Instruction {
  return { code: opcode.load, jumpTrue: 0, jumpFalse: 0, value: offset };
}

export function and(mask: number): Instruction {
  return { code: opcode.and, jumpTrue: 0, jumpFalse: 0, value: mask >>> 0 };
}

export function result(value: number): Instruction {
  return { code: opcode.result, jumpTrue: 0, jumpFalse: 0, value: value >>> 0 };
}

export function jump(distance: number): Instruction {
  return { code: opcode.jump, jumpTrue: 0, jumpFalse: 0, value: distance };
}

export function branch(code: number, value: number, jumpTrue: number, jumpFalse: number): Instruction {
  if (jumpTrue > 255 || jumpFalse > 255)
    throw new EngineError("internal", "seccomp: a conditional jump is longer than 255 instructions");
  return { code, jumpTrue, jumpFalse, value: value >>> 0 };
}

/** struct sock_filter { u16 code; u8 jt; u8 jf; u32 k; }, little-endian. */
export function encode(program: readonly Instruction[]): Uint8Array {
  if (program.length > maxInstructions)
    throw new EngineError(
      "resource-exhausted",
      `the seccomp profile makes a program of ${program.length} instructions; the kernel takes at most ${maxInstructions}`,
    );
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, jumpTrue, jumpFalse, value }] of program.entries()) {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, jumpTrue);
    view.setUint8(index * 8 + 3, jumpFalse);
    view.setUint32(index * 8 + 4, value, true);
  }
  return bytes;
}
