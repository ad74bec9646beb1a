export * from "./container.ts";
export * from "./json-text.ts";
export * from "./volume.ts";
