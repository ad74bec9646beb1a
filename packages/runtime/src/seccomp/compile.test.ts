import { expect, test } from "bun:test";
import { seccompActions, seccompOperators, type LinuxSeccomp, type LinuxSeccompRule, checkOciSpec } from "@fathom/spec";
import { auditArchitectures, compileSeccomp, x32Bit } from "./compile.ts";
import { actionResult } from "./treatments.ts";
import { interpret } from "../testing/filter-interpreter.ts";
import { multiplexed, syscallsOf, type Abi } from "./syscalls.ts";

const noArguments = [0n, 0n, 0n, 0n, 0n, 0n];
const allow = 0x7fff_0000;
const errno = (number: number): number => 0x5_0000 | number;

function profile(value: object): LinuxSeccomp {
  const seccomp = { defaultAction: "SCMP_ACT_ERRNO", ...value };
  return checkOciSpec({ ociVersion: "1.3.0", linux: { seccomp } }).linux!.seccomp!;
}

function decide(of: LinuxSeccomp, abi: Abi, name: string | number, args: readonly bigint[] = []): number {
  const number = typeof name === "number" ? name : syscallsOf(abi).get(name)!;
  const architecture = auditArchitectures[abi === "x32" ? "x86_64" : abi];
  const machine = abi === "aarch64" ? "aarch64" : "x86_64";
  const marked = abi === "x32" ? (number | x32Bit) >>> 0 : number;
  return interpret(compileSeccomp(of, machine).program, {
    number: marked,
    architecture,
    args: Object.assign([...noArguments], args),
  });
}

test("the tables know the machines", () => {
  const known: readonly [Abi, string, number][] = [
    ["x86_64", "read", 0],
    ["x86_64", "clone3", 435],
    ["x86_64", "uretprobe", 335],
    ["x86_64", "file_setattr", 469],
    ["x32", "rt_sigaction", 512],
    ["x32", "read", 0],
    ["i386", "waitpid", 7],
    ["i386", "clock_gettime64", 403],
    ["i386", "socket", 359],
    ["aarch64", "fcntl", 25],
    ["aarch64", "newfstatat", 79],
    ["aarch64", "mmap", 222],
    ["aarch64", "renameat", 38],
    ["aarch64", "openat2", 437],
    ["aarch64", "memfd_secret", 447],
  ];
  for (const [abi, name, number] of known) expect([abi, name, syscallsOf(abi).get(name)]).toEqual([abi, name, number]);
  expect(syscallsOf("aarch64").has("open")).toBe(false);
  expect(syscallsOf("x86_64").has("waitpid")).toBe(false);
});

test("allowed, rejected, newer than the profile, other architectures", () => {
  const of = profile({ syscalls: [{ names: ["read", "openat2", "nosuchcall"], action: "SCMP_ACT_ALLOW" }] });
  expect(decide(of, "x86_64", "read")).toBe(allow);
  expect(decide(of, "x86_64", "write")).toBe(errno(1));
  // openat2 is 437.
  expect(decide(of, "x86_64", 438)).toBe(errno(38));
  expect(decide(of, "x86_64", 0x3fff_ffff)).toBe(errno(38));
  expect(decide(of, "i386", "read")).toBe(0);
  expect(decide(of, "x32", "read")).toBe(0);
  // What a tracer skips.
  expect(decide(of, "x86_64", 0xffff_ffff)).toBe(errno(1));
  const more = profile({ ...of, architectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] });
  expect(decide(more, "i386", "read")).toBe(allow);
  expect(decide(more, "x32", "read")).toBe(allow);
  expect(decide(more, "x32", "write")).toBe(errno(1));
  expect(decide(more, "x32", 438)).toBe(errno(38));
  expect(decide(of, "aarch64", "read")).toBe(allow);
});

test("a default that allows calls, or gives ENOSYS itself, needs nothing for newer calls", () => {
  const rules = { syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_ERRNO", errnoRet: 5 }] };
  const open = profile({ defaultAction: "SCMP_ACT_ALLOW", ...rules });
  expect(decide(open, "x86_64", "mkdir")).toBe(errno(5));
  expect(decide(open, "x86_64", 5000)).toBe(allow);
  const own = profile({ defaultErrnoRet: 38, syscalls: [{ names: ["read"], action: "SCMP_ACT_ALLOW" }] });
  expect(decide(own, "x86_64", 5000)).toBe(errno(38));
  expect(decide(profile({}), "x86_64", 5000)).toBe(errno(1));
});

test("every action has the kernel's value", () => {
  const values = seccompActions.map((action) => actionResult(action, 7));
  expect(values).toEqual([0, 0x8000_0000, 0, 0x3_0000, 0x5_0007, 0x7ff0_0007, 0x7fff_0000, 0x7ffc_0000, 0x7fc0_0000]);
  expect(actionResult("SCMP_ACT_ERRNO", undefined)).toBe(0x5_0001);
});

test("a rule without conditions has priority; two conditions on one argument are alternatives", () => {
  const rule = (value: number, action: string, more: object = {}): object => ({
    names: ["personality"],
    action,
    args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
    ...more,
  });
  const both = profile({ syscalls: [rule(1, "SCMP_ACT_KILL"), { names: ["personality"], action: "SCMP_ACT_ALLOW" }] });
  expect(decide(both, "x86_64", "personality", [1n])).toBe(allow);
  const either = profile({
    syscalls: [
      rule(1, "SCMP_ACT_ALLOW", {
        args: [
          { index: 0, value: 1, op: "SCMP_CMP_EQ" },
          { index: 0, value: 4, op: "SCMP_CMP_EQ" },
        ],
      }),
    ],
  });
  expect([1n, 4n, 2n].map((value) => decide(either, "x86_64", "personality", [value]))).toEqual([
    allow,
    allow,
    errno(1),
  ]);
  const ordered = profile({
    syscalls: [rule(1, "SCMP_ACT_KILL"), rule(1, "SCMP_ACT_ALLOW"), rule(2, "SCMP_ACT_ERRNO")],
  });
  expect(decide(ordered, "x86_64", "personality", [1n])).toBe(0);
  expect(decide(ordered, "x86_64", "personality", [2n])).toBe(errno(1));
});

test("i386's multiplexed calls cannot avoid the filter", () => {
  const architectures = ["SCMP_ARCH_X86"];
  const deny = { names: ["socket", "semget"], action: "SCMP_ACT_ERRNO", errnoRet: 9 };
  const closed = profile({ defaultAction: "SCMP_ACT_ALLOW", architectures, syscalls: [deny] });
  expect(decide(closed, "i386", "socket")).toBe(errno(9));
  expect(decide(closed, "i386", "socketcall", [1n])).toBe(errno(9));
  expect(decide(closed, "i386", "socketcall", [2n])).toBe(allow);
  // The kernel ignores version bits beside the number.
  expect(decide(closed, "i386", "ipc", [0x3_0002n])).toBe(errno(9));
  const vsock = { ...deny, names: ["socket"], args: [{ index: 0, value: 40, op: "SCMP_CMP_EQ" }] };
  const some = profile({ defaultAction: "SCMP_ACT_ALLOW", architectures, syscalls: [vsock] });
  expect(decide(some, "i386", "socket", [2n])).toBe(allow);
  expect(decide(some, "i386", "socketcall", [1n])).toBe(errno(9));
  const permit = profile({ architectures, syscalls: [{ ...vsock, action: "SCMP_ACT_ALLOW" }] });
  expect(decide(permit, "i386", "socketcall", [1n])).toBe(errno(1));
  expect(
    decide(
      profile({ architectures, syscalls: [{ names: ["socket"], action: "SCMP_ACT_ALLOW" }] }),
      "i386",
      "socketcall",
      [1n],
    ),
  ).toBe(allow);
});

test("flags", () => {
  const flags = (list?: readonly string[] | null): number => compileSeccomp(profile({ flags: list }), "x86_64").flags;
  expect(flags(undefined)).toBe(4);
  expect(flags([])).toBe(0);
  expect(flags(["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"])).toBe(2);
  expect(() => flags(["SECCOMP_FILTER_FLAG_X"])).toThrow(/SECCOMP_FILTER_FLAG_X is not known/);
});

test("what libseccomp rejects is rejected", () => {
  const refuse =
    (value: object): (() => unknown) =>
    () =>
      compileSeccomp(profile(value), "x86_64");
  expect(refuse({ defaultAction: "SCMP_ACT_NOTIFY" })).toThrow(/default action/);
  expect(refuse({ syscalls: [{ names: ["write"], action: "SCMP_ACT_NOTIFY" }] })).toThrow(/write/);
  expect(refuse({ syscalls: [{ names: [""], action: "SCMP_ACT_ALLOW" }] })).toThrow(/empty syscall name/);
  expect(refuse({ architectures: ["SCMP_ARCH_PDP11"] })).toThrow(/unknown architecture "SCMP_ARCH_PDP11"/);
  expect(compileSeccomp(profile({ architectures: ["SCMP_ARCH_MIPS"] }), "x86_64").program.length).toBeGreaterThan(0);
});

test("equal content is compiled once", () => {
  const value = {
    syscalls: [
      { names: ["read"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 2n ** 63n, op: "SCMP_CMP_EQ" }] },
    ],
  };
  expect(compileSeccomp(profile(value), "x86_64")).toBe(compileSeccomp(profile(value), "x86_64"));
  const frozen = Object.freeze(profile(value));
  expect(compileSeccomp(frozen, "x86_64")).toBe(compileSeccomp(frozen, "x86_64"));
  expect(compileSeccomp(profile({ ...value, defaultErrnoRet: 2 }), "x86_64")).not.toBe(
    compileSeccomp(frozen, "x86_64"),
  );
});

test("the error says when a program is too long for the kernel", () => {
  const names = [...syscallsOf("x86_64").keys()];
  const args = [0, 1, 2, 3, 4, 5].map((index) => ({ index, value: 2n ** 40n + BigInt(index), op: "SCMP_CMP_GE" }));
  expect(() => compileSeccomp(profile({ syscalls: [{ names, action: "SCMP_ACT_ALLOW", args }] }), "x86_64")).toThrow(
    /at most 4096/,
  );
});

/** Reads the rules of a profile one by one and compares whole numbers: it shares only the tables with the compiler. */
function evaluate(of: LinuxSeccomp, abi: Abi, number: number, args: readonly bigint[]): number {
  const otherwise = actionResult(of.defaultAction, of.defaultErrnoRet);
  const narrow = abi === "i386" || abi === "x32";
  const cut = (value: bigint | number | undefined): bigint => BigInt.asUintN(narrow ? 32 : 64, BigInt(value ?? 0));
  const numbers = syscallsOf(abi);
  const name = [...numbers].find(([, value]) => value === number)?.[0];
  const holds = ({ index, value, valueTwo, op }: NonNullable<LinuxSeccompRule["args"]>[number]): boolean => {
    const [argument, one, two] = [cut(args[index]), cut(value), cut(valueTwo)];
    return {
      SCMP_CMP_NE: argument !== one,
      SCMP_CMP_LT: argument < one,
      SCMP_CMP_LE: argument <= one,
      SCMP_CMP_EQ: argument === one,
      SCMP_CMP_GE: argument >= one,
      SCMP_CMP_GT: argument > one,
      SCMP_CMP_MASKED_EQ: (argument & one) === two,
    }[op];
  };
  const rules = (of.syscalls ?? []).filter((rule) => name !== undefined && rule.names.includes(name));
  const real = rules.filter((rule) => actionResult(rule.action, rule.errnoRet) !== otherwise);
  const match =
    real.find((rule) => (rule.args ?? []).length === 0) ??
    real.find((rule) => {
      const given = rule.args ?? [];
      const twice = given.some((one, at) => given.findIndex((other) => other.index === one.index) !== at);
      return twice ? given.some(holds) : given.every(holds);
    });
  if (match !== undefined) return actionResult(match.action, match.errnoRet);
  const newest = Math.max(0, ...(of.syscalls ?? []).flatMap((rule) => rule.names.map((one) => numbers.get(one) ?? 0)));
  const lets = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].includes(of.defaultAction);
  return newest > 0 && number > newest && !lets && of.defaultErrnoRet !== 38 ? errno(38) : otherwise;
}

test("random profiles decide every call as their rules say", () => {
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const interesting = [
    0n,
    1n,
    2n,
    0xffff_ffffn,
    0x1_0000_0000n,
    0x1_0000_0001n,
    0xffff_ffff_ffff_ffffn,
    0x7e02_0000n,
    0x8000_0000n,
  ];
  // The test above compares the calls that i386 multiplexes.
  const names = [
    ...new Set([
      ...syscallsOf("x86_64").keys(),
      ...syscallsOf("i386").keys(),
      ...syscallsOf("aarch64").keys(),
      "nosuch",
    ]),
  ].filter((name) => !multiplexed.has(name));
  const actions = seccompActions.filter((action) => action !== "SCMP_ACT_NOTIFY");
  for (let round = 0; round < 40; round++) {
    const of = profile({
      defaultAction: pick(actions),
      defaultErrnoRet: pick([undefined, 38, 1, 13]),
      architectures: pick([[], ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]]),
      syscalls: Array.from({ length: random(12) }, () => ({
        names: Array.from({ length: 1 + random(40) }, () => pick(names)),
        action: pick(actions),
        errnoRet: pick([undefined, 2, 38]),
        args: Array.from({ length: pick([0, 0, 1, 2, 3]) }, () => ({
          index: random(6),
          value: pick(interesting),
          valueTwo: pick(interesting),
          op: pick(seccompOperators),
        })),
      })),
    });
    const abis: readonly Abi[] =
      (of.architectures ?? []).length > 0 ? ["x86_64", "x32", "i386"] : ["x86_64", "aarch64"];
    for (const abi of abis) {
      for (let number = 0; number < 560; number++) {
        const args = Array.from({ length: 6 }, () => pick(interesting));
        // A 32-bit process has no upper halves.
        const seen = abi === "i386" ? args.map((value) => value & 0xffff_ffffn) : args;
        expect([round, abi, number, decide(of, abi, number, seen)]).toEqual([
          round,
          abi,
          number,
          evaluate(of, abi, number, seen),
        ]);
      }
    }
  }
});
