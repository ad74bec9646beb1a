export * from "./capabilities.ts";
export * from "./cgroup-mounts.ts";
export * from "./compile.ts";
export * from "./contract.ts";
export * from "./explain.ts";
export * from "./plan.ts";
