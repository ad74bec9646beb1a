export * from "./contract.ts";
export { createApiServer } from "./server/server.ts";
export { formatVersion, maximumVersion, minimumVersion } from "./request/versions.ts";
export { adaptCreate } from "./adapt/create.ts";
