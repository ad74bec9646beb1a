export * from "./address.ts";
export * from "./client.ts";
export * from "./daemon-error.ts";
export * from "./hijack.ts";
