/** The treatment of each system call by a profile: rules in order, the last without conditions. */
import { toUint64, type LinuxSeccomp, type LinuxSeccompArgument, type SeccompAction } from "@fathom/spec";
import type { Condition } from "./conditions.ts";
import { multiplexed, syscallsOf, type Abi } from "./syscalls.ts";
import { errnoNumber } from "@fathom/sys";

const EPERM = errnoNumber("EPERM");
export const ENOSYS = errnoNumber("ENOSYS");
export const killThread = 0;

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

/** SECCOMP_RET_* with its data. */
export function actionResult(action: SeccompAction, errno: number | null | undefined): number {
  const value = actionValues[action];
  const takesData = action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE";
  return (takesData ? value | ((errno ?? EPERM) & 0xffff) : value) >>> 0;
}

/** What happens to a call: rules in order, the last without conditions. */
export interface Rule {
  readonly conditions: readonly Condition[];
  readonly result: number;
}
export type Treatment = readonly Rule[];

export function defaultResult(profile: LinuxSeccomp): number {
  return actionResult(profile.defaultAction, profile.defaultErrnoRet);
}

export function always(value: number): Treatment {
  return [{ conditions: [], result: value }];
}

/** Number of the newest call in the profile, when newer calls get ENOSYS. */
export function newestNamed(profile: LinuxSeccomp, abi: Abi): number | undefined {
  const lets = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].includes(profile.defaultAction);
  if (lets || profile.defaultErrnoRet === ENOSYS) return undefined;
  const numbers = syscallsOf(abi);
  let newest = 0;
  for (const rule of profile.syscalls ?? [])
    for (const name of rule.names) newest = Math.max(newest, numbers.get(name) ?? 0);
  return newest === 0 ? undefined : newest;
}

export function treatmentsOf(profile: LinuxSeccomp, abi: Abi): Map<number, Treatment> {
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
      // A filter cannot see the arguments behind the pointer of a multiplexed call. So a rule with conditions applies without them if it
      // forbids, and not at all if it permits.
      if (
        through !== undefined &&
        (alternatives.every((one) => one.length === 0) || severity(value) < severity(otherwise))
      )
        add(numbers.get(through.call), { conditions: [selects(through)], result: value });
    }
  }
  return new Map([...rules].map(([number, list]) => [number, treatmentFrom(list, otherwise)]));
}

/** The number is in the lower half of ipc's first argument; the upper half is a version, which the kernel ignores. */
function selects(through: { readonly call: "socketcall" | "ipc"; readonly number: number }): Condition {
  const mask = through.call === "ipc" ? 0xffffn : 0xffff_ffffn;
  return { index: 0, operator: "SCMP_CMP_MASKED_EQ", value: mask, valueTwo: BigInt(through.number) };
}

/** The kernel's own order of precedence: the lower value wins. */
function severity(value: number): number {
  return (value & 0xffff_0000) | 0;
}

/** Each alternative is true when all its conditions are true. */
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
