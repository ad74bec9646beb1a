import { expect, test } from "bun:test";
import type { Clock } from "@fathom/base";
import { collectorSuite } from "./collector-suite.ts";
import { contentSuite } from "./content-suite.ts";
import { FakeStore } from "./fake-store.ts";
import { imagesSuite } from "./images-suite.ts";
import { layersSuite } from "./layers-suite.ts";
import { leasesSuite } from "./leases-suite.ts";
import type { StoreUnderTest } from "./store-under-test.ts";
import { diffIdOf } from "./test-support.ts";

async function open(clock: Clock): Promise<StoreUnderTest> {
  let store = new FakeStore({ clock });
  return {
    store,
    restart: async () => (store = new FakeStore({ clock, after: store })),
    addLayer: (lease, parent, name) => store.layers.draft().commit(parent, diffIdOf(name), name.length, lease),
    damage: (digest) => store.bytes.damage(digest),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

contentSuite("in memory", open);
leasesSuite("in memory", open);
imagesSuite("in memory", open);
layersSuite("in memory", open);
collectorSuite("in memory", open);

test("calls of each part fail and hang as planned", async () => {
  await using store = new FakeStore();
  const { faults } = store;
  for (const [call, ask] of [
    ["content.list", () => store.content.list()],
    ["layers.list", () => store.layers.list()],
    ["images.list", () => store.images.list()],
    ["leases.list", () => store.leases.list()],
    ["snapshots.list", () => store.snapshots.list()],
  ] as const) {
    faults.failNext(call);
    expect(ask).toThrow(`${call} fails, as the test planned`);
    expect<unknown>(ask()).toEqual([]);
  }
  const hang = faults.hangNext("collector.collect");
  const collecting = store.collector.collect();
  await hang.reached;
  hang.goOn();
  expect((await collecting).blobs).toEqual([]);
});
