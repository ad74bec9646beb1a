/**
 * OCI seccomp profile → classic BPF program, with the same decisions as libseccomp and runc for the same profile:
 * - a call of an architecture that the profile does not list kills the thread; the machine's own is always listed;
 * - names that a machine does not have are skipped there;
 * - calls newer than all calls in the profile get ENOSYS instead of the default action, so that programs use older calls
 *   instead (unless the default allows calls);
 * - a rule whose action is the default's is ignored; a rule without conditions has priority; two conditions on one argument
 *   count as two rules.
 *
 * The program is a binary search over ranges of call numbers with equal treatment.
 */
import { EngineError } from "@fathom/base";
import type { LinuxSeccomp } from "@fathom/spec";
import { conditionCode } from "./conditions.ts";
import { branch, dataOffset, encode, jump, load, opcode, result, type Instruction } from "./instructions.ts";
import type { Abi } from "./syscalls.ts";
import {
  actionResult,
  always,
  defaultResult,
  ENOSYS,
  killThread,
  newestNamed,
  treatmentsOf,
  type Treatment,
} from "./treatments.ts";

export type SeccompArchitecture = "x86_64" | "aarch64";

export interface CompiledSeccomp {
  /** sock_filter instructions, 8 bytes each, little-endian. */
  readonly program: Uint8Array;
  /** SECCOMP_FILTER_FLAG_* bits. */
  readonly flags: number;
}

/** AUDIT_ARCH_* of linux/audit.h. */
export const auditArchitectures = { x86_64: 0xc000_003e, i386: 0x4000_0003, aarch64: 0xc000_00b7 } as const;

/** The bit that marks a call number as x32's. */
export const x32Bit = 0x4000_0000;

const lastNumber = 0xffff_ffff;

const flagValues: Readonly<Record<string, number>> = {
  // When the filter is loaded, there is only one thread.
  SECCOMP_FILTER_FLAG_TSYNC: 0,
  SECCOMP_FILTER_FLAG_LOG: 1 << 1,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 1 << 2,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 1 << 5,
};

/** Names of the specification. Those without a convention here never occur on the machines on which Fathom runs. */
const architectureNames: Readonly<Record<string, Abi | null>> = {
  SCMP_ARCH_X86_64: "x86_64",
  SCMP_ARCH_X32: "x32",
  SCMP_ARCH_X86: "i386",
  SCMP_ARCH_AARCH64: "aarch64",
  ...Object.fromEntries(
    (
      "ARM MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X PARISC PARISC64 RISCV64 " +
      "LOONGARCH64 M68K SH SHEB"
    )
      .split(" ")
      .map((name) => [`SCMP_ARCH_${name}`, null]),
  ),
};

const remembered = new Map<string, CompiledSeccomp>();
const maxRemembered = 64;
const byProfile = new WeakMap<LinuxSeccomp, Map<SeccompArchitecture, CompiledSeccomp>>();

/**
 * Equal content gives the same program object, compiled once.
 * Errors: "invalid-argument" for what libseccomp would reject, "resource-exhausted" for a program that is too long for the kernel.
 */
export function compileSeccomp(profile: LinuxSeccomp, machine: SeccompArchitecture): CompiledSeccomp {
  const fast = byProfile.get(profile)?.get(machine);
  if (fast !== undefined) return fast;
  const content = JSON.stringify([machine, profile], (_key, value: unknown) =>
    typeof value === "bigint" ? `${value}n` : value,
  );
  const key = new Bun.CryptoHasher("sha256").update(content).digest("hex");
  let compiled = remembered.get(key);
  if (compiled === undefined) {
    compiled = compileFresh(profile, machine);
    if (remembered.size >= maxRemembered) {
      const oldest = remembered.keys().next().value;
      if (oldest !== undefined) remembered.delete(oldest);
    }
    remembered.set(key, compiled);
  }
  // Only a profile that cannot change may be recognised by its identity.
  if (Object.isFrozen(profile)) {
    const known = byProfile.get(profile) ?? new Map<SeccompArchitecture, CompiledSeccomp>();
    byProfile.set(profile, known.set(machine, compiled));
  }
  return compiled;
}

function compileFresh(profile: LinuxSeccomp, machine: SeccompArchitecture): CompiledSeccomp {
  check(profile);
  const abis = new Set<Abi>([machine]);
  for (const name of profile.architectures ?? []) {
    const abi = Object.hasOwn(architectureNames, name) ? architectureNames[name] : undefined;
    if (abi === undefined) throw new EngineError("invalid-argument", `seccomp: unknown architecture "${name}"`);
    if (abi !== null) abis.add(abi);
  }
  const program: Instruction[] = [load(dataOffset.architecture)];
  for (const [audit, ranges] of rangesByArchitecture(profile, abis)) {
    const search = searchCode(ranges);
    // Over a block of any length: the true branch skips the long jump.
    program.push(branch(opcode.jumpEqual, audit, 1, 0), jump(search.length + 1), load(dataOffset.number), ...search);
  }
  program.push(result(killThread));
  return { program: encode(program), flags: flagsOf(profile) };
}

function check(profile: LinuxSeccomp): void {
  if (profile.defaultAction === "SCMP_ACT_NOTIFY")
    throw new EngineError("invalid-argument", "seccomp: SCMP_ACT_NOTIFY cannot be used as default action");
  for (const rule of profile.syscalls ?? []) {
    if (rule.action === "SCMP_ACT_NOTIFY" && rule.names.includes("write"))
      throw new EngineError("invalid-argument", "seccomp: SCMP_ACT_NOTIFY cannot be used for the write syscall");
    if (rule.names.includes("")) throw new EngineError("invalid-argument", "seccomp: a rule has an empty syscall name");
  }
}

function flagsOf(profile: LinuxSeccomp): number {
  // No flags given: without SPEC_ALLOW, older kernels slow down the whole container to protect against speculation attacks.
  const names = profile.flags ?? ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"];
  return names.reduce((bits, name) => {
    const value = Object.hasOwn(flagValues, name) ? flagValues[name] : undefined;
    if (value === undefined) throw new EngineError("invalid-argument", `seccomp flag ${name} is not known`);
    return bits | value;
  }, 0);
}

/** Treatment of all numbers from `start` to the next range's start. */
interface Range {
  readonly start: number;
  readonly treatment: Treatment;
  readonly narrow: boolean;
}

function rangesByArchitecture(profile: LinuxSeccomp, abis: ReadonlySet<Abi>): [audit: number, ranges: Range[]][] {
  const blocks: [number, Range[]][] = [];
  if (abis.has("x86_64")) {
    const own = rangesOf(profile, "x86_64", 0, x32Bit - 1);
    const marked: Range[] = abis.has("x32")
      ? rangesOf(profile, "x32", x32Bit, lastNumber)
      : [
          { start: x32Bit, treatment: always(killThread), narrow: false },
          // A tracer sets -1 for a call that it wants to skip.
          { start: lastNumber, treatment: always(defaultResult(profile)), narrow: false },
        ];
    blocks.push([auditArchitectures.x86_64, merge([...own, ...marked])]);
  }
  for (const abi of ["i386", "aarch64"] as const)
    if (abis.has(abi)) blocks.push([auditArchitectures[abi], merge(rangesOf(profile, abi, 0, lastNumber))]);
  return blocks;
}

function rangesOf(profile: LinuxSeccomp, abi: Abi, first: number, last: number): Range[] {
  const narrow = abi === "i386" || abi === "x32";
  const otherwise = defaultResult(profile);
  const treatments = [...treatmentsOf(profile, abi)].sort(([a], [b]) => a - b);
  const ranges: Range[] = [];
  let next = first;
  for (const [number, treatment] of treatments) {
    const start = first + number;
    if (start > next) ranges.push({ start: next, treatment: always(otherwise), narrow });
    ranges.push({ start, treatment, narrow });
    next = start + 1;
  }
  const newest = newestNamed(profile, abi);
  if (newest === undefined) {
    if (next <= last) ranges.push({ start: next, treatment: always(otherwise), narrow });
    return ranges;
  }
  if (first + newest + 1 > next) ranges.push({ start: next, treatment: always(otherwise), narrow });
  ranges.push({ start: first + newest + 1, treatment: always(actionResult("SCMP_ACT_ERRNO", ENOSYS)), narrow });
  return ranges;
}

/** Joins neighbouring ranges with equal treatment. */
function merge(ranges: readonly Range[]): Range[] {
  const merged: Range[] = [];
  for (const range of ranges) {
    const before = merged.at(-1);
    const alike =
      before !== undefined &&
      before.treatment.length === 1 &&
      range.treatment.length === 1 &&
      before.treatment[0]?.result === range.treatment[0]?.result;
    if (!alike) merged.push(range);
  }
  return merged;
}

/** Binary search with the call's number in the accumulator. Every path ends in a result. */
function searchCode(ranges: readonly Range[]): Instruction[] {
  const [only] = ranges;
  if (only !== undefined && ranges.length === 1) return treatmentCode(only);
  const middle = Math.ceil(ranges.length / 2);
  const left = searchCode(ranges.slice(0, middle));
  const right = searchCode(ranges.slice(middle));
  const start = ranges[middle]?.start ?? 0;
  return left.length <= 255
    ? [branch(opcode.jumpGreaterEqual, start, left.length, 0), ...left, ...right]
    : [branch(opcode.jumpGreaterEqual, start, 0, 1), jump(left.length), ...left, ...right];
}

function treatmentCode({ treatment, narrow }: Range): Instruction[] {
  return treatment.flatMap((rule) => {
    // Built from the end, so that each condition knows the distance to the end of the rule.
    let code: Instruction[] = [result(rule.result)];
    for (const condition of rule.conditions.toReversed())
      code = [...conditionCode(condition, code.length, narrow), ...code];
    return code;
  });
}
