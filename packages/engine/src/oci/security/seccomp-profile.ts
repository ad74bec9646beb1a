/** A Docker seccomp profile → the OCI profile of one container on this machine. */
import { EngineError } from "@fathom/base";
import type { SeccompArchitecture } from "@fathom/runtime";
import { parseDockerSeccomp, type DockerSeccomp, type DockerSeccompCondition, type LinuxSeccomp } from "@fathom/spec";
import { defaultSeccompProfile } from "./seccomp-default.ts";

export interface SeccompCircumstances {
  readonly architecture: SeccompArchitecture;
  /** "6.18.44-cloud" */
  readonly kernelRelease: string;
  /** The container's bounding set. */
  readonly capabilities: readonly string[];
}

/** Names of the machines in Go and in libseccomp. */
const machineNames = {
  x86_64: { go: "amd64", seccomp: "SCMP_ARCH_X86_64" },
  aarch64: { go: "arm64", seccomp: "SCMP_ARCH_AARCH64" },
} as const;

const remembered = new Map<string, LinuxSeccomp>();
const maxRemembered = 32;
/** Largest number of instructions in a filter (BPF_MAXINSNS). */
const mostInstructions = 4096;

/** The built-in profile. Equal circumstances give the same frozen object, so it is compiled once. */
export function defaultSeccomp(circumstances: SeccompCircumstances): LinuxSeccomp {
  const { architecture, kernelRelease, capabilities } = circumstances;
  const key = [architecture, kernelRelease, ...capabilities.toSorted()].join(" ");
  const known = remembered.get(key);
  if (known !== undefined) return known;
  const resolved = Object.freeze(resolveSeccomp(defaultSeccompProfile(), circumstances));
  if (remembered.size >= maxRemembered) remembered.clear();
  remembered.set(key, resolved);
  return resolved;
}

/** A profile given as JSON, in Docker's or in OCI's form. @throws invalid-argument "Decoding seccomp profile failed: …" */
export function customSeccomp(text: string, circumstances: SeccompCircumstances): LinuxSeccomp {
  const profile = resolveSeccomp(parseDockerSeccomp(text), circumstances);
  // Each condition needs at least one comparison. A profile that is too large is rejected before it is compiled, because compiling takes time.
  const conditions =
    profile.syscalls?.reduce((sum, { names, args }) => sum + names.length * (args?.length ?? 0), 0) ?? 0;
  if (conditions > mostInstructions)
    throw new EngineError(
      "invalid-argument",
      `the seccomp profile has ${conditions} conditions on arguments; the kernel takes programs of at most ${mostInstructions} instructions`,
    );
  return profile;
}

export function resolveSeccomp(profile: DockerSeccomp, circumstances: SeccompCircumstances): LinuxSeccomp {
  const { archMap, syscalls, ...rest } = profile;
  const own = machineNames[circumstances.architecture].seccomp;
  const mapped = archMap?.find(({ architecture }) => architecture === own);
  return {
    ...rest,
    architectures:
      mapped === undefined ? (rest.architectures ?? []) : [mapped.architecture, ...mapped.subArchitectures],
    syscalls: syscalls.flatMap(({ includes, excludes, ...rule }) => {
      if (includes && !includesHold(includes, circumstances)) return [];
      if (excludes && excludesHold(excludes, circumstances)) return [];
      return [rule];
    }),
  };
}

/** All named conditions must be true. */
function includesHold(condition: DockerSeccompCondition, circumstances: SeccompCircumstances): boolean {
  const { caps, arches, minKernel } = condition;
  return (
    (!arches?.length || arches.includes(machineNames[circumstances.architecture].go)) &&
    (caps ?? []).every((name) => circumstances.capabilities.includes(name)) &&
    (!minKernel || atLeast(circumstances.kernelRelease, minKernel))
  );
}

/** One true condition is enough. */
function excludesHold(condition: DockerSeccompCondition, circumstances: SeccompCircumstances): boolean {
  const { caps, arches, minKernel } = condition;
  return (
    (arches ?? []).includes(machineNames[circumstances.architecture].go) ||
    (caps ?? []).some((name) => circumstances.capabilities.includes(name)) ||
    Boolean(minKernel && atLeast(circumstances.kernelRelease, minKernel))
  );
}

function atLeast(release: string, wanted: string): boolean {
  const [major, minor] = kernelVersion(release);
  const [wantedMajor, wantedMinor] = kernelVersion(wanted);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

function kernelVersion(text: string): [major: number, minor: number] {
  const match = /^(\d+)\.(\d+)/.exec(text);
  if (!match) throw new EngineError("invalid-argument", `"${text}" is not a kernel version`);
  return [Number(match[1]), Number(match[2])];
}
