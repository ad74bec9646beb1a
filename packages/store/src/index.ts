export * from "./contract.ts";
export { createContentWriter } from "./content/content-writer.ts";
export { openDatabase } from "./database/database.ts";
export type { DescribedLayer, DescribeLayers } from "./recovery/described.ts";
export { storageError } from "./errors.ts";
export { layerLimit } from "./snapshots/chain.ts";
export { openStore, type OpenStoreOptions } from "./store.ts";
