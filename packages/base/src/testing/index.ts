export * from "./failure.ts";
export { Faults, type Hang } from "./faults.ts";
export * from "./processes.ts";
export * from "./random.ts";
export * from "./temporary-directory.ts";
export * from "./test-certificates.ts";
export * from "./until.ts";
