import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { sha256Digest, type Digest } from "@fathom/spec";
import { createContentWriter } from "./content/content-writer.ts";
import { addLayer, bytes, openTestStore, temporaryRoot } from "./testing/test-support.ts";

test("what a lease, an image, a name or a container reaches stays; the rest goes, topmost first", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const { content, images, layers, leases, snapshots } = store;
  const lease = leases.create("pull");
  const config = content.put(bytes("{}"), lease).digest;
  const index = content.put(bytes("index"), lease).digest;
  const blob = content.put(bytes("layer blob"), lease).digest;
  const loose = content.put(bytes("loose"), lease).digest;
  const base = addLayer(store, lease, undefined, "base");
  const top = addLayer(store, lease, base.chainId, "top");
  const side = addLayer(store, lease, base.chainId, "side");
  const record = { id: config, layers: [base.chainId, top.chainId], blobs: [blob], manifests: [] };
  images.put({ ...record, storedAt: "2026-01-01T00:00:00Z", size: 1, parent: undefined }, lease);
  images.tag({ name: "a:1", image: config, target: index });
  expect(await store.collect()).toEqual({ blobs: [], layers: [], reclaimedBytes: 0 });

  leases.release(lease);
  expect(await store.collect()).toEqual({ blobs: [loose], layers: [side.chainId], reclaimedBytes: 9 });
  expect(existsSync(side.diffPath)).toBe(false);

  snapshots.prepare("c", top.chainId, "container");
  images.untag("a:1");
  images.remove(config);
  const second = await store.collect();
  expect([...second.blobs].sort()).toEqual([config, index, blob].sort());
  expect(second.layers).toEqual([]);
  expect(content.list()).toEqual([]);
  expect(existsSync(`${root.path}/content/sha256/${blob.slice(7)}`)).toBe(false);

  await snapshots.remove("c");
  expect((await store.collect()).layers).toEqual([top.chainId, base.chainId]);
  expect(layers.list()).toEqual([]);
});

test("a blob that is stored again, and not recorded yet, survives a collection", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const data = bytes("shared by two pulls");
  const first = store.leases.create("first");
  const { digest } = store.content.put(data, first);
  store.leases.release(first);
  // Another thread stores the same blob while nothing reaches the row.
  const writer = createContentWriter(root.path, { digest, size: data.length });
  writer.write(data);
  const info = writer.commit();
  expect((await store.collect()).blobs).toEqual([]);
  const second = store.leases.create("second");
  store.content.record(info, second);
  expect(store.content.read(digest, 100)).toEqual(Buffer.from(data));
  store.leases.release(second);
  expect((await store.collect()).blobs).toEqual([digest]);
});

test("collecting while drafts are filled takes nothing of them", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("pull");
  const draft = store.layers.draft();
  await store.collect();
  expect(existsSync(draft.diffPath)).toBe(true);
  const diffId = sha256Digest("d") as Digest as string as Parameters<typeof draft.commit>[1];
  const layer = draft.commit(undefined, diffId, 0, lease);
  await store.collect();
  expect(existsSync(layer.diffPath)).toBe(true);
});
