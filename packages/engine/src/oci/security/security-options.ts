/** `--security-opt` in the form of the API: "no-new-privileges", "seccomp=…", "label=disable". */
import { EngineError } from "@fathom/base";
import { parseBool } from "@fathom/spec";

export interface SecurityOptions {
  readonly noNewPrivileges: boolean;
  /** JSON of a profile, "unconfined", "builtin", or undefined when none is named. */
  readonly seccomp: string | undefined;
  readonly writableCgroups: boolean | undefined;
}

/**
 * AppArmor profiles and labels are read but have no effect, as in Docker on a machine without AppArmor and SELinux.
 * @throws invalid-argument `invalid --security-opt 2: "…"`
 */
export function parseSecurityOptions(options: readonly string[], noNewPrivilegesDefault: boolean): SecurityOptions {
  let noNewPrivileges = noNewPrivilegesDefault;
  let seccomp: string | undefined;
  let writableCgroups: boolean | undefined;
  for (const option of options) {
    if (option === "no-new-privileges") noNewPrivileges = true;
    else if (option === "writable-cgroups") writableCgroups = true;
    else if (option !== "disable") {
      const [key, value] = split(option);
      if (key === "seccomp") seccomp = value;
      else if (key === "no-new-privileges") noNewPrivileges = booleanOf(value, option);
      else if (key === "writable-cgroups") writableCgroups = booleanOf(value, option);
      else if (key !== "label" && key !== "apparmor") throw invalid(2, option);
    }
  }
  return { noNewPrivileges, seccomp, writableCgroups };
}

/** "key=value"; the old form is "key:value". */
function split(option: string): [key: string, value: string] {
  const at = option.includes("=") ? option.indexOf("=") : option.indexOf(":");
  if (at < 0) throw invalid(1, option);
  return [option.slice(0, at), option.slice(at + 1)];
}

function booleanOf(value: string, option: string): boolean {
  const read = parseBool(value);
  if (read === undefined) throw invalid(2, option);
  return read;
}

function invalid(kind: 1 | 2, option: string): EngineError {
  return new EngineError("invalid-argument", `invalid --security-opt ${kind}: ${JSON.stringify(option)}`);
}
