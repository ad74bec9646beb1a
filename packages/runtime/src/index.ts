export * from "./capabilities.ts";
export * from "./cgroup-mounts.ts";
export * from "./compile.ts";
export * from "./contract.ts";
export * from "./explain.ts";
export * from "./plan.ts";
export { createCgroups, openCgroups } from "./cgroups/cgroups.ts";
export { findHierarchies, type Hierarchy, type HierarchySet } from "./cgroups/hierarchies.ts";
export { resourcesFromOci, runtimeDeviceRules } from "./cgroups/resources.ts";
