export { openBlob } from "./blob.ts";
export * from "./client.ts";
export * from "./contract.ts";
export { RegistryError, TransportError, type RegistryReason } from "./errors.ts";
export * from "./login.ts";
export { environmentProxy } from "./transport/proxy.ts";
