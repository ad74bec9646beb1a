import { expect, test } from "bun:test";
import { compileSeccomp } from "@fathom/runtime";
import { parseDockerSeccomp, type LinuxSeccomp } from "@fathom/spec";
import { defaultCapabilities } from "./capabilities.ts";
import { defaultSeccompProfile } from "./seccomp-default.ts";
import { customSeccomp, defaultSeccomp, resolveSeccomp, type SeccompCircumstances } from "./seccomp-profile.ts";

const usual: SeccompCircumstances = {
  architecture: "x86_64",
  kernelRelease: "6.18.4",
  capabilities: defaultCapabilities,
};
const admin = { ...usual, capabilities: [...defaultCapabilities, "CAP_SYS_ADMIN"] };

function actionsOf(profile: LinuxSeccomp, name: string): string[] {
  return (profile.syscalls ?? [])
    .filter((rule) => rule.names.includes(name))
    .map((rule) => `${rule.action}${rule.args?.length ? " when" : ""}`);
}

test("the default profile: its size, and each name occurs once in the list for everyone", () => {
  const rules = defaultSeccompProfile().syscalls;
  const everyone = rules.filter((rule) => !rule.args && !rule.includes && !rule.excludes).flatMap((rule) => rule.names);
  // As many as moby/profiles had on 2026-08-23.
  expect(everyone.length).toBe(361);
  expect(new Set(everyone).size).toBe(361);
  expect(everyone.every((name) => /^[a-z0-9_]+$/.test(name))).toBe(true);
});

test("what an ordinary container may and may not do", () => {
  const profile = defaultSeccomp(usual);
  expect(profile.architectures).toEqual(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
  for (const name of ["read", "openat2", "execve", "futex", "ptrace", "arch_prctl", "chroot", "statx"])
    expect(actionsOf(profile, name)).toContain("SCMP_ACT_ALLOW");
  for (const name of [
    "mount",
    "unshare",
    "setns",
    "bpf",
    "reboot",
    "keyctl",
    "add_key",
    "kexec_load",
    "io_uring_setup",
    "userfaultfd",
    "open_by_handle_at",
    "swapcontext",
  ])
    expect(actionsOf(profile, name)).toEqual([]);
  expect(actionsOf(profile, "clone")).toEqual(["SCMP_ACT_ALLOW when"]);
  expect(actionsOf(profile, "clone3")).toEqual(["SCMP_ACT_ERRNO"]);
  expect(actionsOf(profile, "socket")).toEqual(["SCMP_ACT_ALLOW when", "SCMP_ACT_ALLOW when", "SCMP_ACT_ALLOW when"]);
});

test("capabilities, machines and kernels change the profile", () => {
  const profile = defaultSeccomp(admin);
  expect(actionsOf(profile, "clone")).toEqual(["SCMP_ACT_ALLOW"]);
  expect(actionsOf(profile, "clone3")).toEqual(["SCMP_ACT_ALLOW"]);
  expect(actionsOf(profile, "mount")).toEqual(["SCMP_ACT_ALLOW"]);
  const old = resolveSeccomp(defaultSeccompProfile(), { ...usual, kernelRelease: "4.4.0-210-generic" });
  expect(actionsOf(old, "ptrace")).toEqual([]);
  expect(actionsOf(resolveSeccomp(defaultSeccompProfile(), { ...usual, kernelRelease: "4.10.1" }), "ptrace")).toEqual([
    "SCMP_ACT_ALLOW",
  ]);
  const arm = defaultSeccomp({ ...usual, architecture: "aarch64" });
  expect(arm.architectures).toEqual(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
  expect(actionsOf(arm, "arch_prctl")).toEqual([]);
  expect(actionsOf(arm, "set_tls")).toEqual(["SCMP_ACT_ALLOW"]);
});

test("equal circumstances give the same object, which is compiled once", () => {
  const again = defaultSeccomp({ ...usual, capabilities: defaultCapabilities.toReversed() });
  expect(again).toBe(defaultSeccomp(usual));
  expect(compileSeccomp(again, "x86_64")).toBe(compileSeccomp(defaultSeccomp(usual), "x86_64"));
  expect(compileSeccomp(again, "x86_64").program.length / 8).toBeLessThan(1000);
});

test("profiles from users: OCI's form, Docker's form, old names", () => {
  const oci = customSeccomp(
    '{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":5}]}',
    usual,
  );
  expect(oci.architectures).toEqual(["SCMP_ARCH_X86"]);
  expect(oci.syscalls).toMatchObject([{ names: ["mkdir"], action: "SCMP_ACT_ERRNO", errnoRet: 5 }]);
  const old = customSeccomp(
    '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW","args":null}]}',
    usual,
  );
  expect(old.syscalls?.[0]?.names).toEqual(["read"]);
  const large = parseDockerSeccomp(
    '{"defaultAction":"SCMP_ACT_KILL","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":18446744073709551615,"op":"SCMP_CMP_EQ"}]}]}',
  );
  expect(large.syscalls[0]?.args?.[0]?.value).toBe(18_446_744_073_709_551_615n);
});

test("invalid profiles", () => {
  const wrong: readonly [string, RegExp][] = [
    ["{", /^Decoding seccomp profile failed: /],
    ["[]", /the document: expected an object, got an array/],
    ["{}", /defaultAction: expected one of "SCMP_ACT_KILL", .*, got nothing/],
    [
      '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"NO"}]}',
      /syscalls\[0\]\.action: expected one of .*, got "NO"/,
    ],
    [
      '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"name":"b","action":"SCMP_ACT_LOG"}]}',
      /both 'name' and 'names'/,
    ],
    [
      '{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}',
      /both 'architectures' and 'archMap'/,
    ],
    [
      '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}]}',
      /args\[0\]\.index: 6 is not between 0 and 5/,
    ],
    [
      '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","includes":{"minKernel":"new"}}]}',
      /minKernel/,
    ],
  ];
  for (const [text, message] of wrong) expect(() => customSeccomp(text, usual)).toThrow(message);
});

test("a profile that is too large for a filter is rejected before it is compiled", () => {
  const rule = (value: number) => ({
    names: ["read", "write"],
    action: "SCMP_ACT_ALLOW",
    args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
  });
  const profile = (count: number): string =>
    JSON.stringify({ defaultAction: "SCMP_ACT_ERRNO", syscalls: Array.from({ length: count }, (_, n) => rule(n)) });
  const circumstances = { architecture: "x86_64", kernelRelease: "6.18.0", capabilities: [] } as const;
  expect(customSeccomp(profile(100), circumstances).syscalls).toHaveLength(100);
  expect(() => customSeccomp(profile(3000), circumstances)).toThrow(
    "the seccomp profile has 6000 conditions on arguments; the kernel takes programs of at most 4096 instructions",
  );
});
