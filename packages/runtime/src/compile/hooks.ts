/** Hooks that run in the container's namespaces, as operations of its plan. */
import type { OciSpec } from "@fathom/spec";
import type { Operation } from "../plan/plan.ts";

/** How the hooks of a configuration run. The hooks of the host's namespaces (prestart, createRuntime, poststart, poststop) are the caller's work. */
export interface HookPlan {
  /** FIFOs: the process waits here until the caller has run its hooks. Absent when it has none. */
  readonly meeting?: { readonly reached: string; readonly proceed: string };
  /** The state, as JSON text around the number of the process, for each kind of hook that runs in the container's namespaces. */
  readonly createContainer: HookState;
  readonly startContainer: HookState;
}
export interface HookState {
  readonly before: string;
  readonly after: string;
}

export function hookOperations(
  spec: OciSpec,
  stage: "createContainer" | "startContainer",
  state: HookState,
): Operation[] {
  return (spec.hooks?.[stage] ?? []).map((hook) => ({
    kind: "hook",
    stage,
    path: hook.path,
    argv: hook.args === undefined || hook.args.length === 0 ? [hook.path] : [...hook.args],
    env: [...(hook.env ?? [])],
    timeoutMs: Math.min((hook.timeout ?? 0) * 1000, 0x7fff_ffff),
    ...state,
  }));
}
