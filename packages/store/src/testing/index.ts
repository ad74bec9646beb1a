export { FakeSnapshotter } from "./fake-snapshotter.ts";
export { snapshotterSuite } from "./snapshotter-suite.ts";
