import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "@fathom/base/testing";
import { mediaTypes, sha256Digest, type ChainId, type Digest } from "@fathom/spec";
import type { ImageTarget } from "../contract.ts";
import { openDatabase } from "../database/database.ts";
import { addLayer, bytes, crash, openTestStore, temporaryRoot } from "../testing/test-support.ts";

function targetOf(digest: Digest): ImageTarget {
  return { digest, size: 2, mediaType: mediaTypes.ociConfig };
}

test("opening removes temporary files, drafts and directories without a row; everything with a row stays", async () => {
  using root = temporaryRoot();
  let store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  const layer = addLayer(store, lease, undefined, "kept");
  store.snapshots.prepare("c1", layer.chainId, "container");
  store.layers.draft();
  const blob = store.content.put(bytes("kept"), lease);
  store.content.writer({ digest: sha256Digest("cut"), size: 3 }).write(bytes("c"));
  const overlay = join(root.path, "overlay2");
  mkdirSync(join(overlay, "deadbeef/diff"), { recursive: true });
  mkdirSync(join(overlay, "lost+found"));
  writeFileSync(join(overlay, "l", "STRAY"), "");
  crash(store);
  store = await openTestStore(root.path);
  expect(readdirSync(join(root.path, "content/tmp"))).toEqual([]);
  expect(readdirSync(overlay).sort()).toEqual(["c1", layer.cacheId, "l", "lost+found", "trash"].sort());
  expect(readdirSync(join(overlay, "l"))).toHaveLength(2);
  expect(store.content.read(blob.digest, 10)).toEqual(Buffer.from("kept"));
  expect(store.layers.get(layer.chainId)).toBeDefined();
  expect(store.leases.list()).toHaveLength(1);
  await store[Symbol.asyncDispose]();
  expect(readdirSync(join(overlay, "trash"))).toEqual([]);
});

test("a verified blob whose row was never written is found by the next pull", async () => {
  using root = temporaryRoot();
  const data = bytes("verified");
  const digest = sha256Digest(data);
  const store = await openTestStore(root.path);
  const writer = store.content.writer({ digest, size: data.length });
  writer.write(data);
  writer.commit();
  expect(store.content.info(digest)).toBeUndefined();
  crash(store);
  await using again = await openTestStore(root.path);
  expect(again.content.info(digest)).toEqual({ digest, size: data.length });
  expect((await again.collector.collect()).blobs).toEqual([digest]);
});

test("after a power loss, bytes that may not have been on disk are checked again", async () => {
  using root = temporaryRoot();
  const large = new Uint8Array(5 * 1024 * 1024).fill(7);
  const torn = new Uint8Array(5 * 1024 * 1024).fill(8);
  const store = await openTestStore(root.path, { bootId: "one" });
  const lease = store.leases.create("test");
  const good = store.content.put(large, lease);
  const bad = store.content.put(torn, lease);
  const config = store.content.put(bytes("{}"), lease);
  const layer = addLayer(store, lease, undefined, "layer");
  const image = { id: config.digest, layers: [layer.chainId], blobs: [], manifests: [] };
  store.images.put({ ...image, storedAt: "2026-01-01T00:00:00Z", size: 1, parent: undefined }, lease);
  store.images.tag({ name: "a:1", target: targetOf(config.digest), images: [config.digest], content: [] });
  writeFileSync(store.content.path(bad.digest), new Uint8Array(0));
  const stray = sha256Digest("stray");
  writeFileSync(join(root.path, "content/sha256", stray.slice(7)), "torn");

  crash(store);
  await using again = await openTestStore(root.path, { bootId: "two" });
  expect(again.content.info(good.digest)).toBeDefined();
  expect(again.content.info(bad.digest)).toBeUndefined();
  expect(again.content.info(stray)).toBeUndefined();
  expect(again.layers.list()).toEqual([]);
  expect(existsSync(layer.diffPath)).toBe(false);
  expect(again.images.list()).toEqual([]);
  expect(again.images.names()).toEqual([]);
});

test("after a power loss, written data stays, and a container's layers always stay", async () => {
  using root = temporaryRoot();
  let synced = 0;
  const store = await openTestStore(root.path, {
    bootId: "one",
    syncFilesystem: async () => {
      synced++;
    },
  });
  const lease = store.leases.create("test");
  const written = addLayer(store, lease, undefined, "written");
  await until("the file system is written to disk", () => synced > 0);
  expect(synced).toBe(1);
  const late = addLayer(store, lease, written.chainId, "late");
  store.snapshots.prepare("c", late.chainId, "container");
  addLayer(store, lease, undefined, "lost");
  crash(store);
  await using again = await openTestStore(root.path, { bootId: "two" });
  expect(
    again.layers
      .list()
      .map(({ chainId }) => chainId)
      .sort(),
  ).toEqual([written.chainId, late.chainId].sort());
  expect(again.snapshots.get("c")?.lowerPaths).toHaveLength(2);
});

test("a clean end writes unwritten data to disk, also at the second try: the next boot finds the image", async () => {
  for (const failures of [0, 1]) {
    using root = temporaryRoot();
    let tries = 0;
    const store = await openTestStore(root.path, {
      bootId: "one",
      syncFilesystem: async () => {
        if (tries++ < failures) throw new Error("no process can be started");
      },
    });
    const lease = store.leases.create("test");
    const layer = addLayer(store, lease, undefined, "layer");
    const large = store.content.put(new Uint8Array(5 * 1024 * 1024).fill(7), lease);
    const config = store.content.put(bytes("{}"), lease).digest;
    const image = { id: config, layers: [layer.chainId], blobs: [large.digest], manifests: [] };
    store.images.put({ ...image, storedAt: "2026-01-01T00:00:00Z", size: 1, parent: undefined }, lease);
    await store[Symbol.asyncDispose]();
    expect(tries).toBe(failures + 1);
    await using again = await openTestStore(root.path, { bootId: "two" });
    expect(again.images.list().map(({ id }) => id)).toEqual([config]);
    expect(again.database.all("SELECT * FROM blobs WHERE boot IS NOT NULL")).toEqual([]);
  }
});

test("when somebody deletes a layer by hand, its images and the layers on top of it are dropped too", async () => {
  using root = temporaryRoot();
  const store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  const low = addLayer(store, lease, undefined, "low");
  const high = addLayer(store, lease, low.chainId, "high");
  const config = store.content.put(bytes("{}"), lease).digest;
  const image = { id: config, layers: [low.chainId, high.chainId], blobs: [], manifests: [] };
  store.images.put({ ...image, storedAt: "2026-01-01T00:00:00Z", size: 1, parent: undefined }, lease);
  rmSync(join(low.diffPath, ".."), { recursive: true });
  crash(store);
  await using again = await openTestStore(root.path);
  expect(again.layers.list()).toEqual([]);
  expect(again.images.list()).toEqual([]);
  expect(existsSync(high.diffPath)).toBe(false);
});

test("when a layer was not on disk, its image and the image below it are dropped together", async () => {
  using root = temporaryRoot();
  const store = await openTestStore(root.path, { bootId: "one" });
  const lease = store.leases.create("test");
  const layer = addLayer(store, lease, undefined, "layer");
  const storedAt = "2026-01-01T00:00:00Z";
  let parent: Digest | undefined;
  // The parents' digests sort before and after those of the images committed on top of them.
  for (const text of ["{}", "[]", "0", "1", "2"]) {
    const { digest: id } = store.content.put(bytes(text), lease);
    store.images.put({ id, layers: [layer.chainId], blobs: [], manifests: [], storedAt, size: 1, parent }, lease);
    store.images.tag({ name: `a:${text.length}`, target: targetOf(id), images: [id], content: [] });
    parent = id;
  }
  crash(store);
  await using again = await openTestStore(root.path, { bootId: "two" });
  expect(again.images.list()).toEqual([]);
  expect(again.layers.list()).toEqual([]);
});

test("an image whose config is missing or damaged is dropped, an image committed on top of it stays", async () => {
  using root = temporaryRoot();
  const store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  const layer = addLayer(store, lease, undefined, "layer");
  const storedAt = "2026-01-01T00:00:00Z";
  const put = (text: string, parent: Digest | undefined): Digest => {
    const { digest: id } = store.content.put(bytes(text), lease);
    store.images.put({ id, layers: [layer.chainId], blobs: [], manifests: [], storedAt, size: 1, parent }, lease);
    store.images.tag({ name: `${text}:1`, target: targetOf(id), images: [id], content: [] });
    return id;
  };
  const below = put("below", undefined);
  const above = put("above", below);
  // As after a database from an older backup.
  rmSync(store.content.path(below));
  crash(store);
  await using again = await openTestStore(root.path);
  expect(again.images.list().map(({ id, parent }) => ({ id, parent }))).toEqual([{ id: above, parent: undefined }]);
  expect(again.images.names().map(({ name }) => name)).toEqual(["above:1"]);
});

test("an image of several platforms is dropped with the shown one; without another one, or an attestation, its name holds the rest", async () => {
  using root = temporaryRoot();
  const store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  const put = (text: string): Digest => store.content.put(bytes(text), lease).digest;
  const image = (text: string): Digest => {
    const made = { id: put(text), layers: [], blobs: [], manifests: [], storedAt: "2026-01-01T00:00:00Z", size: 0 };
    store.images.put({ ...made, parent: undefined }, lease);
    return made.id;
  };
  const [shown, behind, lost] = [image("shown"), image("behind"), image("lost")];
  const [proof, gone] = [put("proof"), put("gone")];
  const target = targetOf(put("index"));
  store.images.tag({ name: "whole:1", target, images: [shown, behind, lost], content: [proof, gone] });
  store.images.tag({ name: "lost:1", target, images: [lost, behind], content: [] });
  for (const digest of [lost, gone]) rmSync(store.content.path(digest));
  crash(store);
  await using again = await openTestStore(root.path);
  const [whole, ...others] = again.images.names();
  expect(whole).toEqual({ name: "whole:1", target, images: [shown, behind], content: [proof] });
  expect(others).toEqual([]);
  // It can get a name again in its present form.
  again.images.tag({ ...whole!, name: "whole:2" });
});

test("a database of a newer program, or a file that is no database, is rejected", async () => {
  using root = temporaryRoot();
  const database = openDatabase(join(root.path, "fathom.db"));
  database.run("INSERT INTO schema_versions VALUES ('store', 999)");
  database.close();
  await expect(openTestStore(root.path)).rejects.toThrow(/newer fathom/);
  using other = temporaryRoot();
  writeFileSync(join(other.path, "fathom.db"), "this is no database, whatever its name says. ".repeat(200));
  await expect(openTestStore(other.path)).rejects.toMatchObject({ code: "data-loss" });
});

test("a container that is not in the database gets its layers back when it is described, and is left alone when they are not complete", async () => {
  using root = temporaryRoot();
  const store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  const low = addLayer(store, lease, undefined, "low");
  const high = addLayer(store, lease, low.chainId, "high");
  for (const id of ["whole", "wrong", "leftover"]) store.snapshots.prepare(id, high.chainId, "image-mount");
  const layers = [high, low].map(({ chainId, diffId, size }) => ({ chainId, diffId, size }));
  crash(store);
  const described = new Map([
    ["whole", layers],
    ["wrong", [...layers, ...layers]],
  ]);
  const options = { rebuildDatabase: true, describe: (id: string) => described.get(id) };
  const again = await openTestStore(root.path, options);
  expect(again.snapshots.list().map(({ key }) => key)).toEqual(["whole"]);
  const found = again.snapshots.get("whole")!;
  expect(found.parent).toBe(high.chainId);
  expect(found.lowerPaths.map((path) => readdirSync(path))).toEqual([["high"], ["low"]]);
  // A container that cannot be added exists, so nothing is removed.
  const directories = readdirSync(join(root.path, "overlay2"));
  expect([directories.includes("wrong"), directories.includes("leftover")]).toEqual([true, true]);
  crash(again);

  described.delete("wrong");
  await using last = await openTestStore(root.path, { describe: (id) => described.get(id) });
  expect(last.snapshots.list().map(({ key }) => key)).toEqual(["whole"]);
  expect(readdirSync(join(root.path, "overlay2"))).not.toContain("leftover");
});

test("layers without a DiffId survive a crash, and with their container a new database", async () => {
  using root = temporaryRoot();
  const store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  const base = addLayer(store, lease, undefined, "base");
  const commit = async (parent: ChainId, name: string) => {
    writeFileSync(join(store.snapshots.prepare("step", parent, "build").diffPath, name), name);
    return store.snapshots.commit("step", { lease });
  };
  const first = await commit(base.chainId, "first");
  const second = await commit(first.chainId, "second");
  // The name of the first one's directory was taken by then, but both are separate.
  expect(first.cacheId).toBe("step");
  expect(second.cacheId).not.toBe("step");
  const building = store.snapshots.prepare("step", second.chainId, "build");
  writeFileSync(join(building.diffPath, "third"), "third");
  store.snapshots.prepare("c", second.chainId, "container");
  crash(store);

  const again = await openTestStore(root.path);
  expect(again.layers.get(second.chainId)).toEqual(second);
  expect(again.snapshots.get("step")).toEqual(building);
  expect(readdirSync(building.diffPath)).toEqual(["third"]);
  crash(again);

  const chain = [second, first, base].map(({ chainId, diffId, size }) => ({ chainId, diffId, size }));
  const describe = (id: string) => (id === "c" ? chain : undefined);
  await using last = await openTestStore(root.path, { rebuildDatabase: true, describe });
  const { lowerPaths } = last.snapshots.get("c")!;
  expect(lowerPaths.map((path) => readdirSync(path))).toEqual([["second"], ["first"], ["base"]]);
  expect(last.layers.get(first.chainId)?.diffId).toBeUndefined();
  const described = await last.snapshots.describe(second.chainId);
  expect(described.map(({ size }) => size)).toEqual([4, 5, 6]);
  expect(described[0]).toMatchObject({ chainId: base.chainId, diffId: base.diffId });
  expect(last.layers.get(described[2]!.chainId)?.chainId).toBe(second.chainId);
});
