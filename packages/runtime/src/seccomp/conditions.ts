/** Comparisons of a call's arguments, in 64 bits as two 32-bit halves. */
import type { SeccompOperator } from "@fathom/spec";
import { and, branch, dataOffset, load, opcode, type Instruction } from "./instructions.ts";

export interface Condition {
  /** 0–5. */
  readonly index: number;
  readonly operator: SeccompOperator;
  readonly value: bigint;
  /** The value with which the masked argument is compared (MASKED_EQ, where `value` is the mask). */
  readonly valueTwo: bigint;
}

/**
 * Instructions that continue with the next instruction when the condition is true, and jump over the next `rest` instructions when it is false.
 * @param narrow The machine's arguments have 32 bits: the upper halves of argument and value do not count.
 */
export function conditionCode(condition: Condition, rest: number, narrow: boolean): Instruction[] {
  const { index, operator, value, valueTwo } = condition;
  const loadLow = load(dataOffset.argumentLow(index));
  const loadHigh = load(dataOffset.argumentHigh(index));
  const [high, low] = halves(value);
  const [highTwo, lowTwo] = halves(valueTwo);
  switch (operator) {
    case "SCMP_CMP_EQ": {
      const tail = [loadLow, branch(opcode.jumpEqual, low, 0, rest)];
      return narrow ? tail : [loadHigh, branch(opcode.jumpEqual, high, 0, rest + tail.length), ...tail];
    }
    case "SCMP_CMP_NE": {
      const tail = [loadLow, branch(opcode.jumpEqual, low, rest, 0)];
      return narrow ? tail : [loadHigh, branch(opcode.jumpEqual, high, 0, tail.length), ...tail];
    }
    case "SCMP_CMP_GT":
    case "SCMP_CMP_GE": {
      const last = operator === "SCMP_CMP_GT" ? opcode.jumpGreater : opcode.jumpGreaterEqual;
      const tail = [loadLow, branch(last, low, 0, rest)];
      if (narrow) return tail;
      const equal = branch(opcode.jumpEqual, high, 0, rest + tail.length);
      return [loadHigh, branch(opcode.jumpGreater, high, tail.length + 1, 0), equal, ...tail];
    }
    case "SCMP_CMP_LT":
    case "SCMP_CMP_LE": {
      const last = operator === "SCMP_CMP_LT" ? opcode.jumpGreaterEqual : opcode.jumpGreater;
      const tail = [loadLow, branch(last, low, rest, 0)];
      if (narrow) return tail;
      // Neither greater nor equal: the upper half alone is already less.
      const equal = branch(opcode.jumpEqual, high, 0, tail.length);
      return [loadHigh, branch(opcode.jumpGreater, high, rest + tail.length + 1, 0), equal, ...tail];
    }
    case "SCMP_CMP_MASKED_EQ": {
      const tail = [loadLow, and(low), branch(opcode.jumpEqual, lowTwo, 0, rest)];
      if (narrow || (high === 0 && highTwo === 0)) return tail;
      return [loadHigh, and(high), branch(opcode.jumpEqual, highTwo, 0, rest + tail.length), ...tail];
    }
  }
}

function halves(value: bigint): [high: number, low: number] {
  return [Number((value >> 32n) & 0xffff_ffffn), Number(value & 0xffff_ffffn)];
}
