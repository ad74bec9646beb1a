export { collectorSuite } from "./collector-suite.ts";
export { contentSuite } from "./content-suite.ts";
export { FakeSnapshotter } from "./fake-snapshotter.ts";
export { FakeStore, type FakeStoreOptions } from "./fake-store.ts";
export { imagesSuite } from "./images-suite.ts";
export { layersSuite } from "./layers-suite.ts";
export { leasesSuite } from "./leases-suite.ts";
export { snapshotterSuite } from "./snapshotter-suite.ts";
export type { OpenStoreUnderTest, StoreUnderTest } from "./store-under-test.ts";
