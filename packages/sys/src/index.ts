export * from "./contract.ts";
export * from "./constants.ts";
export * from "./create-sys.ts";
export * from "./errors.ts";
export * from "./host-files.ts";
export * from "./owned-fd.ts";
export * from "./recording.ts";
export * from "./worker.ts";
