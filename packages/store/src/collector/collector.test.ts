import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { addLayer, bytes, diffIdOf, openTestStore, temporaryRoot } from "../testing/test-support.ts";

test("files of blobs and directories of layers are removed with their rows; a snapshot keeps the layers below it", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("pull");
  const { digest } = store.content.put(bytes("blob"), lease);
  const base = addLayer(store, lease, undefined, "base");
  const top = addLayer(store, lease, base.chainId, "top");
  const side = addLayer(store, lease, base.chainId, "side");
  store.snapshots.prepare("c", top.chainId, "container");
  const file = store.content.path(digest);
  expect(existsSync(file)).toBe(true);
  store.leases.release(lease);
  expect(await store.collector.collect()).toMatchObject({ blobs: [digest], layers: [side.chainId] });
  expect([file, side.diffPath, top.diffPath, base.diffPath].map((path) => existsSync(path))).toEqual([
    false,
    false,
    true,
    true,
  ]);
  await store.snapshots.remove("c");
  expect((await store.collector.collect()).layers).toEqual([top.chainId, base.chainId]);
  expect([top, base].some(({ cacheId }) => existsSync(join(root.path, "overlay2", cacheId)))).toBe(false);
});

test("a collection while drafts are filled removes nothing of them", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("pull");
  const draft = store.layers.draft();
  await store.collector.collect();
  expect(existsSync(draft.diffPath)).toBe(true);
  const layer = draft.commit(undefined, diffIdOf("d"), 0, lease);
  await store.collector.collect();
  expect(existsSync(layer.diffPath)).toBe(true);
});
