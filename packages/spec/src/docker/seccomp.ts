/**
 * Docker's form of a seccomp profile. It is the OCI form with two additions: a rule may be limited to machines and capabilities (`includes`,
 * `excludes`), and a map gives each machine its additional architectures. An OCI profile is a Docker profile without these additions.
 */
import { EngineError, messageOf } from "@fathom/base";
import { decodeDocument, optional, unsigned } from "../decode/decoder.ts";
import { exact, list, matching, oneOf, orElse, text, turned, uint64, wholeNumber } from "../decode/exact.ts";
import type { LinuxSeccomp, LinuxSeccompArgument, LinuxSeccompRule } from "../oci/runtime.ts";
import { parseJsonExactly, seccompActions, seccompOperators } from "../oci/values.ts";

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

/** Even a profile with one rule for every system call has fewer rules. */
const maxRules = 10_000;

const failed = "Decoding seccomp profile failed";
const texts = list(text, 10_000);

const condition = exact<DockerSeccompCondition>({
  caps: optional(texts),
  arches: optional(texts),
  minKernel: optional(matching(/^\d+\.\d+$/, "must be of the form 4.8")),
});

const argument = exact<LinuxSeccompArgument>({
  index: unsigned(5),
  value: uint64,
  valueTwo: orElse(uint64, 0),
  op: oneOf(seccompOperators),
});

const rule = turned(
  exact<DockerSeccompRule & { readonly name: string }>({
    /** Old profiles have one name per rule. */
    name: orElse(text, ""),
    names: orElse(texts, []),
    action: oneOf(seccompActions),
    errnoRet: optional(wholeNumber),
    args: orElse(list(argument, maxRules), []),
    includes: optional(condition),
    excludes: optional(condition),
  }),
  ({ name, ...rest }): DockerSeccompRule => {
    if (name !== "" && rest.names.length > 0) throw bothGiven("name", "names");
    return name === "" ? rest : { ...rest, names: [name] };
  },
);

const profile = turned(
  exact<DockerSeccomp>({
    defaultAction: oneOf(seccompActions),
    defaultErrnoRet: optional(wholeNumber),
    architectures: optional(texts),
    flags: optional(texts),
    listenerPath: optional(text),
    listenerMetadata: optional(text),
    archMap: optional(
      list(
        exact<NonNullable<DockerSeccomp["archMap"]>[number]>({
          architecture: text,
          subArchitectures: orElse(texts, []),
        }),
        maxRules,
      ),
    ),
    syscalls: orElse(list(rule, maxRules), []),
  }),
  (value) => {
    if ((value.architectures?.length ?? 0) > 0 && (value.archMap?.length ?? 0) > 0)
      throw bothGiven("architectures", "archMap");
    return value;
  },
);

function bothGiven(one: string, other: string): EngineError {
  return new EngineError(
    "invalid-argument",
    `${failed}: both '${one}' and '${other}' are specified in the seccomp profile, use either '${one}' or '${other}'`,
  );
}

/** @throws invalid-argument "Decoding seccomp profile failed: …" with the wrong members */
export function parseDockerSeccomp(json: string): DockerSeccomp {
  let value: unknown;
  try {
    value = parseJsonExactly(json);
  } catch (error) {
    throw new EngineError("invalid-argument", `${failed}: ${messageOf(error)}`, { cause: error });
  }
  return decodeDocument(profile, value, failed);
}
