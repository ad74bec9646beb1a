/** Constants and number functions of the OCI runtime configuration, for code that does not need the decoder. */

export const seccompActions = [
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_LOG",
  "SCMP_ACT_NOTIFY",
] as const;

export const seccompOperators = [
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
] as const;

export type SeccompAction = (typeof seccompActions)[number];
export type SeccompOperator = (typeof seccompOperators)[number];

/** The specification version that Fathom writes. */
export const ociVersion = "1.3.0";

/**
 * Parses JSON. Integers of more than 15 digits become bigints, so that 64-bit limits and seccomp masks keep every digit.
 * Throws SyntaxError as JSON.parse does.
 */
export function parseJsonExactly(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_key: string, value: unknown, context?: { source?: string }) => {
    const source = context?.source;
    return typeof value === "number" && source !== undefined && /^-?\d{16,}$/.test(source) ? BigInt(source) : value;
  });
}

/** A JSON integer as an unsigned 64-bit number. A larger integer (2^64 after rounding) and -1 become the largest such number. */
export function toUint64(value: number | bigint): bigint {
  const big = BigInt(value);
  const max = 0xffff_ffff_ffff_ffffn;
  return big > max ? max : big < 0n ? BigInt.asUintN(64, big) : big;
}
