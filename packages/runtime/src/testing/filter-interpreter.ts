/** Executes classic BPF programs as the kernel does, for tests: to know what a filter decides, it need not be loaded, and no root is needed. */
import { opcode } from "../seccomp/instructions.ts";

export interface SeccompData {
  readonly number: number;
  readonly architecture: number;
  readonly args: readonly bigint[];
}

/** The program's result. Throws when the kernel's verifier would reject the program. */
export function interpret(program: Uint8Array, data: SeccompData): number {
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const memory = new DataView(new ArrayBuffer(64));
  memory.setUint32(0, data.number >>> 0, true);
  memory.setUint32(4, data.architecture >>> 0, true);
  for (const [index, value] of data.args.entries()) memory.setBigUint64(16 + 8 * index, value, true);
  let accumulator = 0;
  for (let at = 0; at < program.length / 8; at++) {
    const kind = code.getUint16(at * 8, true);
    const whenTrue = code.getUint8(at * 8 + 2);
    const whenFalse = code.getUint8(at * 8 + 3);
    const value = code.getUint32(at * 8 + 4, true);
    switch (kind) {
      case opcode.load:
        if (value % 4 !== 0 || value > 60) throw new Error(`load from ${value}`);
        accumulator = memory.getUint32(value, true);
        break;
      case opcode.and:
        accumulator = (accumulator & value) >>> 0;
        break;
      case opcode.jump:
        at += value;
        break;
      case opcode.jumpEqual:
        at += accumulator === value ? whenTrue : whenFalse;
        break;
      case opcode.jumpGreater:
        at += accumulator > value ? whenTrue : whenFalse;
        break;
      case opcode.jumpGreaterEqual:
        at += accumulator >= value ? whenTrue : whenFalse;
        break;
      case opcode.result:
        return value;
      default:
        throw new Error(`instruction 0x${kind.toString(16)}`);
    }
  }
  throw new Error("the program runs off its end");
}
