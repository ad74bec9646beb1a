/** What the plan of a container and that of an exec have in common. */
import type { OciProcess } from "@fathom/spec";
import type { LaunchPlan } from "../plan/plan.ts";
import type { SeccompArchitecture } from "../seccomp/compile.ts";

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

export function terminalOf(process: OciProcess, fallback: TerminalSize | undefined): TerminalSize | null {
  if (process.terminal !== true) return null;
  const size = process.consoleSize;
  if (size && (size.height > 0 || size.width > 0)) return { rows: size.height, columns: size.width };
  return fallback ?? { rows: 0, columns: 0 };
}

export function hostArchitecture(): SeccompArchitecture {
  return globalThis.process.arch === "arm64" ? "aarch64" : "x86_64";
}

/** Nobody can change it. */
export function deepFreeze(plan: LaunchPlan): LaunchPlan {
  const freeze = (value: unknown): void => {
    // A typed array cannot be frozen; the object that holds it is frozen.
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
    for (const inner of Object.values(value)) freeze(inner);
    Object.freeze(value);
  };
  freeze(plan);
  return plan;
}
