import { FakeSnapshotter } from "./fake-snapshotter.ts";
import { snapshotterSuite } from "./snapshotter-suite.ts";

snapshotterSuite("in memory", async () => {
  const snapshots = new FakeSnapshotter();
  const lease = { id: "lease" };
  return {
    snapshots,
    lease,
    releaseLease: () => snapshots.releaseLease(lease),
    write: (key, path, text) => snapshots.write(key, path, text),
    delete: (key, path) => snapshots.delete(key, path),
    read: (key, path) => snapshots.read(key, path),
    layers: () => snapshots.chains,
    [Symbol.asyncDispose]: async () => undefined,
  };
});
