export * from "./make-tar.ts";
export * from "./read-tar.ts";
