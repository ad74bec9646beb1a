/**
 * OCI seccomp profile → classic BPF program, with the decisions that libseccomp and runc give the same profile:
 * - a call of an architecture that the profile does not list kills the thread; the machine's own is always listed;
 * - names that a machine does not have are skipped there;
 * - calls newer than all that the profile names get ENOSYS instead of the default action, so that programs fall back to
 *   older calls (unless the default lets calls through);
 * - a rule whose action is the default's is no rule; a rule without conditions beats those with; two conditions on one argument
 *   are two rules.
 *
 * The program is a binary search over ranges of call numbers that are treated alike.
 */
import { EngineError } from "@fathom/base";
import { toUint64, type LinuxSeccomp, type LinuxSeccompArgument, type SeccompAction } from "@fathom/spec";
import { conditionCode, type Condition } from "./conditions.ts";
import { branch, dataOffset, encode, jump, load, opcode, result, type Instruction } from "./instructions.ts";
import { multiplexed, syscallsOf, type Abi } from "./syscalls.ts";

export type SeccompArchitecture = "x86_64" | "aarch64";

export interface CompiledSeccomp {
  /** sock_filter instructions, 8 bytes each, little-endian. */
  readonly program: Uint8Array;
  /** SECCOMP_FILTER_FLAG_* bits. */
  readonly flags: number;
}

/** AUDIT_ARCH_* of linux/audit.h. */
export const auditArchitectures = { x86_64: 0xc000_003e, i386: 0x4000_0003, aarch64: 0xc000_00b7 } as const;

/** Marks a call number as x32's. */
export const x32Bit = 0x4000_0000;

const lastNumber = 0xffff_ffff;
const EPERM = 1;
const ENOSYS = 38;
const killThread = 0;

const actionValues: Readonly<Record<SeccompAction, number>> = {
  SCMP_ACT_KILL: killThread,
  SCMP_ACT_KILL_THREAD: killThread,
  SCMP_ACT_KILL_PROCESS: 0x8000_0000,
  SCMP_ACT_TRAP: 0x0003_0000,
  SCMP_ACT_ERRNO: 0x0005_0000,
  SCMP_ACT_TRACE: 0x7ff0_0000,
  SCMP_ACT_ALLOW: 0x7fff_0000,
  SCMP_ACT_LOG: 0x7ffc_0000,
  SCMP_ACT_NOTIFY: 0x7fc0_0000,
};

const flagValues: Readonly<Record<string, number>> = {
  // One thread is all that there is when the filter is loaded.
  SECCOMP_FILTER_FLAG_TSYNC: 0,
  SECCOMP_FILTER_FLAG_LOG: 1 << 1,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 1 << 2,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 1 << 5,
};

/** Names of the specification. Those without a convention here never occur on the machines that Fathom runs on. */
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
 * The same content gives the same program object, compiled once.
 * Errors: "invalid-argument" for what libseccomp would refuse, "resource-exhausted" for a program that is too long for the kernel.
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
  // Only a profile that cannot change may be known by its identity.
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
  // None given at all: without SPEC_ALLOW older kernels slow the whole container down against speculation attacks.
  const names = profile.flags ?? ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"];
  return names.reduce((bits, name) => {
    const value = Object.hasOwn(flagValues, name) ? flagValues[name] : undefined;
    if (value === undefined) throw new EngineError("invalid-argument", `seccomp flag ${name} is not known`);
    return bits | value;
  }, 0);
}

/** SECCOMP_RET_* with its data. */
export function actionResult(action: SeccompAction, errno: number | null | undefined): number {
  const value = actionValues[action];
  const takesData = action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE";
  return (takesData ? value | ((errno ?? EPERM) & 0xffff) : value) >>> 0;
}

/** What happens to a call: rules in order, the last without conditions. */
interface Rule {
  readonly conditions: readonly Condition[];
  readonly result: number;
}
type Treatment = readonly Rule[];

/** Treatment of all numbers from `start` to the next range's. */
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
          // -1 is what a tracer makes of a call that it wants skipped.
          { start: lastNumber, treatment: always(defaultResult(profile)), narrow: false },
        ];
    blocks.push([auditArchitectures.x86_64, merge([...own, ...marked])]);
  }
  for (const abi of ["i386", "aarch64"] as const)
    if (abis.has(abi)) blocks.push([auditArchitectures[abi], merge(rangesOf(profile, abi, 0, lastNumber))]);
  return blocks;
}

function defaultResult(profile: LinuxSeccomp): number {
  return actionResult(profile.defaultAction, profile.defaultErrnoRet);
}

function always(value: number): Treatment {
  return [{ conditions: [], result: value }];
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

/** Number of the newest call that the profile names, where calls beyond it are to get ENOSYS. */
function newestNamed(profile: LinuxSeccomp, abi: Abi): number | undefined {
  const lets = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].includes(profile.defaultAction);
  if (lets || profile.defaultErrnoRet === ENOSYS) return undefined;
  const numbers = syscallsOf(abi);
  let newest = 0;
  for (const rule of profile.syscalls ?? [])
    for (const name of rule.names) newest = Math.max(newest, numbers.get(name) ?? 0);
  return newest === 0 ? undefined : newest;
}

function treatmentsOf(profile: LinuxSeccomp, abi: Abi): Map<number, Treatment> {
  const otherwise = defaultResult(profile);
  const numbers = syscallsOf(abi);
  const rules = new Map<number, Rule[]>();
  const add = (number: number | undefined, rule: Rule): void => {
    if (number === undefined) return;
    const known = rules.get(number);
    if (known === undefined) rules.set(number, [rule]);
    else known.push(rule);
  };
  for (const { names, action, errnoRet, args } of profile.syscalls ?? []) {
    const value = actionResult(action, errnoRet);
    if (value === otherwise) continue;
    const alternatives = conditionsOf(args ?? []);
    for (const name of names) {
      for (const conditions of alternatives) add(numbers.get(name), { conditions, result: value });
      const through = abi === "i386" ? multiplexed.get(name) : undefined;
      // Behind the pointer of a multiplexed call a filter sees nothing. A rule with conditions is then taken without them where it
      // forbids, and not at all where it permits.
      if (
        through !== undefined &&
        (alternatives.every((one) => one.length === 0) || severity(value) < severity(otherwise))
      )
        add(numbers.get(through.call), { conditions: [selects(through)], result: value });
    }
  }
  return new Map([...rules].map(([number, list]) => [number, treatmentFrom(list, otherwise)]));
}

/** The number is in the lower half of ipc's first argument; the upper half is a version that the kernel takes as it comes. */
function selects(through: { readonly call: "socketcall" | "ipc"; readonly number: number }): Condition {
  const mask = through.call === "ipc" ? 0xffffn : 0xffff_ffffn;
  return { index: 0, operator: "SCMP_CMP_MASKED_EQ", value: mask, valueTwo: BigInt(through.number) };
}

/** The kernel's own order of precedence: the lower, the stronger. */
function severity(value: number): number {
  return (value & 0xffff_0000) | 0;
}

/** Each alternative holds when all its conditions do. */
function conditionsOf(args: readonly LinuxSeccompArgument[]): Condition[][] {
  const conditions = args.map(({ index, op, value, valueTwo }) => ({
    index,
    operator: op,
    value: toUint64(value),
    valueTwo: toUint64(valueTwo ?? 0),
  }));
  const twice = new Set(conditions.map(({ index }) => index)).size < conditions.length;
  return twice ? conditions.map((condition) => [condition]) : [conditions];
}

function treatmentFrom(rules: readonly Rule[], otherwise: number): Treatment {
  const plain = rules.find((rule) => rule.conditions.length === 0);
  return plain === undefined ? [...rules, { conditions: [], result: otherwise }] : [plain];
}

/** Joins neighbours that are treated alike. */
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
    // From the end, so that each condition knows how far it is behind the rule.
    let code: Instruction[] = [result(rule.result)];
    for (const condition of rule.conditions.toReversed())
      code = [...conditionCode(condition, code.length, narrow), ...code];
    return code;
  });
}
