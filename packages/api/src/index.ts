export * from "./contract.ts";
export { createApiServer } from "./server/server.ts";
export { adaptCreate } from "./adapt/create.ts";
