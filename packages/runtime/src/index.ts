export * from "./contract.ts";
export * from "./plan.ts";
