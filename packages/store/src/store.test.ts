/** The store on disk fulfils the contracts. */
import { writeFileSync } from "node:fs";
import type { Clock } from "@fathom/base";
import { collectorSuite } from "./testing/collector-suite.ts";
import { contentSuite } from "./testing/content-suite.ts";
import { imagesSuite } from "./testing/images-suite.ts";
import { layersSuite } from "./testing/layers-suite.ts";
import { leasesSuite } from "./testing/leases-suite.ts";
import type { StoreUnderTest } from "./testing/store-under-test.ts";
import { addLayer, crash, openTestStore, temporaryRoot } from "./testing/test-support.ts";

async function open(clock: Clock): Promise<StoreUnderTest> {
  const root = temporaryRoot();
  let store = await openTestStore(root.path, { clock });
  return {
    store,
    async restart() {
      crash(store);
      return (store = await openTestStore(root.path, { clock }));
    },
    addLayer: (lease, parent, name) => addLayer(store, lease, parent, name),
    damage: (digest) => writeFileSync(store.content.path(digest), "damaged"),
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      root[Symbol.dispose]();
    },
  };
}

contentSuite("on disk", open);
leasesSuite("on disk", open);
imagesSuite("on disk", open);
layersSuite("on disk", open);
collectorSuite("on disk", open);
