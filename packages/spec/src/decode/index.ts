export * from "./decoder.ts";
export * from "./exact.ts";
export * from "./json.ts";
