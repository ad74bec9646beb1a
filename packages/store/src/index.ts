export * from "./contract.ts";
export { createContentWriter } from "./content-writer.ts";
export { openDatabase } from "./database.ts";
export type { DescribedLayer, DescribeLayers } from "./described.ts";
export { storageError } from "./errors.ts";
export { layerLimit } from "./layers.ts";
export { openStore, type OpenStoreOptions } from "./store.ts";
