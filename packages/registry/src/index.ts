export * from "./contract.ts";
export { openFileStore } from "./storage/file-store.ts";
export { MemoryStore } from "./storage/memory-store.ts";
export { registryMain } from "./serve/serve.ts";
