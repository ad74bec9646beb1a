export * from "./contract.ts";
export { createApiServer, type ApiServer, type ApiServerOptions, type ListenOptions } from "./server.ts";
export { formatVersion, maximumVersion, minimumVersion } from "./versions.ts";
