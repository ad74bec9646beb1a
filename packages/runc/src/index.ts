export type { RuncMain } from "./contract.ts";
export { runcMain } from "./main.ts";
