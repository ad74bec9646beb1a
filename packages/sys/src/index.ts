export * from "./contract.ts";
export * from "./owned-fd.ts";
