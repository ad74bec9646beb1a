export { storeSuite, type StoreUnderTest } from "./store-suite.ts";
export { startTestRegistry, type TestRegistry } from "./test-registry.ts";
