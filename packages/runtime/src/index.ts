export * from "./contract.ts";
export * from "./cgroups/contract.ts";
export * from "./plan/plan.ts";
export { LaunchFailure, launchStages, type LaunchStage } from "./supervisor/launch-failure.ts";
export { createLauncher, type LauncherOptions } from "./launcher/launcher.ts";
export type { SupervisorPlace } from "./launcher/supervisor-process.ts";
export {
  areStillRunning,
  conditionOfPlaced,
  isDead,
  isEnding,
  isStillRunning,
  placedProcess,
  type PlacedProcess,
  signalRun,
} from "./supervisor/process-facts.ts";
export { helperLink } from "./launcher/strays.ts";
export { createdWaits, startCreated } from "./launcher/gate.ts";
export { errorText, operationWords, type FailedCall } from "./supervisor/operation-words.ts";
export * from "./compile/capabilities.ts";
export * from "./compile/cgroup-mounts.ts";
export * from "./compile/compile.ts";
export * from "./compile/exec.ts";
export type { HookPlan, HookState } from "./compile/hooks.ts";
export * from "./plan/describe-operation.ts";
export * from "./plan/explain.ts";
export { compileSeccomp, type SeccompArchitecture } from "./seccomp/compile.ts";
export { findMountedHierarchies, openCgroups } from "./cgroups/cgroups.ts";
export type { HierarchySet } from "./cgroups/hierarchies.ts";
export { resourcesFromOci } from "./cgroups/resources.ts";
export * from "./kernel-features.ts";
export { mountAbove, mountPointOf } from "./mount-point.ts";
