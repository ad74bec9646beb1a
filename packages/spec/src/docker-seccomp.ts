/**
 * Docker's form of a seccomp profile: the OCI form with one rule for several machines and capabilities (`includes`, `excludes`), and
 * with a map from a machine to its further architectures. An OCI profile is a Docker profile without them.
 */
import { EngineError, messageOf } from "@fathom/base";
import { arrayOf, fieldsOf, integerOf, optional, present, textArrayOf, textOf, wrong } from "./fields.ts";
import type { LinuxSeccomp, LinuxSeccompArgument, LinuxSeccompRule } from "./oci-runtime.ts";
import { parseJsonExactly, seccompActions, seccompOperators } from "./oci-values.ts";

export interface DockerSeccompCondition {
  readonly caps?: readonly string[];
  /** Go's names: "amd64", "arm64", "x86". */
  readonly arches?: readonly string[];
  /** "4.8" */
  readonly minKernel?: string;
}

export interface DockerSeccompRule extends LinuxSeccompRule {
  readonly includes?: DockerSeccompCondition;
  readonly excludes?: DockerSeccompCondition;
}

export interface DockerSeccomp extends Omit<LinuxSeccomp, "syscalls"> {
  readonly archMap?: readonly { readonly architecture: string; readonly subArchitectures: readonly string[] }[];
  readonly syscalls: readonly DockerSeccompRule[];
}

/** A rule for each call there is would not have as many. */
const maxRules = 10_000;

/** @throws invalid-argument "Decoding seccomp profile failed: …" with the member that is wrong */
export function parseDockerSeccomp(text: string): DockerSeccomp {
  try {
    return readProfile(parseJsonExactly(text));
  } catch (error) {
    throw new EngineError("invalid-argument", `Decoding seccomp profile failed: ${messageOf(error)}`, { cause: error });
  }
}

function readProfile(value: unknown): DockerSeccomp {
  const fields = fieldsOf(value, "the profile");
  const architectures = optional(fields.architectures, "architectures", textArrayOf);
  const archMap = optional(fields.archMap, "archMap", readArchMap);
  if ((architectures?.length ?? 0) > 0 && (archMap?.length ?? 0) > 0)
    throw new EngineError(
      "invalid-argument",
      "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
    );
  return present({
    defaultAction: oneOf(fields.defaultAction, "defaultAction", seccompActions),
    defaultErrnoRet: optional(fields.defaultErrnoRet, "defaultErrnoRet", integerOf),
    architectures: architectures === undefined ? undefined : [...architectures],
    flags: optional(fields.flags, "flags", (list, where) => [...textArrayOf(list, where)]),
    listenerPath: optional(fields.listenerPath, "listenerPath", textOf),
    listenerMetadata: optional(fields.listenerMetadata, "listenerMetadata", textOf),
    archMap,
    syscalls: listOf(fields.syscalls, "syscalls", readRule),
  });
}

function readArchMap(value: unknown, where: string): NonNullable<DockerSeccomp["archMap"]> {
  return listOf(value, where, (entry, at) => {
    const fields = fieldsOf(entry, at);
    return {
      architecture: textOf(fields.architecture, `${at}.architecture`),
      subArchitectures: optional(fields.subArchitectures, `${at}.subArchitectures`, textArrayOf) ?? [],
    };
  });
}

function readRule(value: unknown, where: string): DockerSeccompRule {
  const fields = fieldsOf(value, where);
  // Old profiles have one name a rule.
  const name = optional(fields.name, `${where}.name`, textOf) ?? "";
  const names = optional(fields.names, `${where}.names`, textArrayOf) ?? [];
  if (name !== "" && names.length > 0)
    throw new EngineError(
      "invalid-argument",
      "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
    );
  return present({
    names: name === "" ? [...names] : [name],
    action: oneOf(fields.action, `${where}.action`, seccompActions),
    errnoRet: optional(fields.errnoRet, `${where}.errnoRet`, integerOf),
    args: listOf(fields.args, `${where}.args`, readArgument),
    includes: optional(fields.includes, `${where}.includes`, readCondition),
    excludes: optional(fields.excludes, `${where}.excludes`, readCondition),
  });
}

function readArgument(value: unknown, where: string): LinuxSeccompArgument {
  const fields = fieldsOf(value, where);
  const index = integerOf(fields.index, `${where}.index`);
  if (index < 0 || index > 5) throw wrong(`${where}.index`, "from 0 to 5");
  return {
    index,
    value: uint64Of(fields.value, `${where}.value`),
    valueTwo: optional(fields.valueTwo, `${where}.valueTwo`, uint64Of) ?? 0,
    op: oneOf(fields.op, `${where}.op`, seccompOperators),
  };
}

function readCondition(value: unknown, where: string): DockerSeccompCondition {
  const fields = fieldsOf(value, where);
  const minKernel = optional(fields.minKernel, `${where}.minKernel`, textOf);
  if (minKernel !== undefined && !/^\d+\.\d+$/.test(minKernel)) throw wrong(`${where}.minKernel`, "of the form 4.8");
  return present({
    caps: optional(fields.caps, `${where}.caps`, textArrayOf),
    arches: optional(fields.arches, `${where}.arches`, textArrayOf),
    minKernel,
  });
}

function listOf<T>(value: unknown, where: string, read: (value: unknown, where: string) => T): T[] {
  const list = optional(value, where, (given) => arrayOf(given, where, maxRules)) ?? [];
  return list.map((entry, index) => read(entry, `${where}[${index}]`));
}

function uint64Of(value: unknown, where: string): number | bigint {
  const integer = typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value));
  if (!integer || value < 0) throw wrong(where, "an integer from 0 on");
  return value;
}

function oneOf<const T extends string>(value: unknown, where: string, words: readonly T[]): T {
  const word = words.find((one) => one === value);
  if (word === undefined) throw wrong(where, `one of ${words.join(", ")}`);
  return word;
}
