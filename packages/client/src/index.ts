export * from "./client.ts";
export * from "./hijack.ts";
