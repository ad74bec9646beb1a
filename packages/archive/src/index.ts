export * from "./compression.ts";
export * from "./entry.ts";
export * from "./limits.ts";
export * from "./reader.ts";
export * from "./tree-writer.ts";
export * from "./writer.ts";
export { blockSize } from "./header.ts";
