export * from "./empty-config.ts";
