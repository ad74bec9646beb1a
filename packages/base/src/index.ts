export * from "./clock.ts";
export * from "./errors.ts";
export * from "./ids.ts";
export * from "./log.ts";
export * from "./mutex.ts";
export * from "./unix-time.ts";
export * from "./version.ts";
export * from "./human-time.ts";
