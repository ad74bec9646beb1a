import type { ExecSpec } from "../exec/exec-spec.ts";

/** An exec without special options that returns its output. */
export function execSpec(command: readonly string[], more: Partial<ExecSpec> = {}): ExecSpec {
  return {
    command,
    environment: [],
    user: "",
    workingDirectory: "",
    terminal: false,
    consoleSize: undefined,
    stdin: false,
    stdout: true,
    stderr: true,
    privileged: false,
    detachKeys: undefined,
    ...more,
  };
}
