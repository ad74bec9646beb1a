import { expect, spyOn, test } from "bun:test";
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { chainIds, type ChainId } from "@fathom/spec";
import { addLayer, diffIdOf, openTestStore, temporaryRoot } from "../testing/test-support.ts";

test("layers are on disk as in Docker's overlay2", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  const low = addLayer(store, lease, undefined, "low");
  const high = addLayer(store, lease, low.chainId, "high");
  expect([low.chainId, high.chainId]).toEqual(chainIds([diffIdOf("low"), diffIdOf("high")]));
  const overlay = join(root.path, "overlay2");
  expect(readdirSync(join(overlay, low.cacheId)).sort()).toEqual(["committed", "diff", "link"]);
  expect(readdirSync(join(overlay, high.cacheId)).sort()).toEqual(["committed", "diff", "link", "lower", "work"]);
  const link = readFileSync(join(overlay, low.cacheId, "link"), "utf8");
  expect(link).toMatch(/^[A-Z2-7]{26}$/);
  expect(readlinkSync(join(overlay, "l", link))).toBe(`../${low.cacheId}/diff`);
  expect(readFileSync(join(overlay, high.cacheId, "lower"), "utf8")).toBe(`l/${link}`);
  expect(statSync(high.diffPath).mode & 0o777).toBe(0o755);
  expect(store.layers.get(high.chainId)).toEqual(high);
  expect(store.layers.list()).toHaveLength(2);

  const container = store.snapshots.prepare("c1", high.chainId, "container");
  expect(readdirSync(join(overlay, "c1")).sort()).toEqual(["diff", "link", "lower", "merged", "work"]);
  const highLink = readFileSync(join(overlay, high.cacheId, "link"), "utf8");
  expect(readFileSync(join(overlay, "c1", "lower"), "utf8")).toBe(`l/${highLink}:l/${link}`);
  expect(container.mount.lower).toEqual([join(overlay, "l", highLink), join(overlay, "l", link)]);
  expect(container.mount.upper).toBe(join(overlay, "c1/diff"));
  expect(store.snapshots.get("c1")).toEqual(container);
  expect(store.snapshots.list()).toEqual([container]);
  expect(() => store.snapshots.prepare("c1", high.chainId, "container")).toThrow(
    expect.objectContaining({ code: "conflict" }),
  );
  expect(() => store.snapshots.prepare("../x", undefined, "container")).toThrow(/invalid layer id/);
  expect(() => store.snapshots.prepare("c2", low.chainId.replace(/.$/, "_") as ChainId, "container")).toThrow(
    expect.objectContaining({ code: "not-found" }),
  );
  const own = readFileSync(join(overlay, "c1", "link"), "utf8");
  await store.snapshots.remove("c1");
  await store.snapshots.remove("c1");
  expect(existsSync(join(overlay, "c1"))).toBe(false);
  expect(lstatSync(join(overlay, "l", own), { throwIfNoEntry: false })).toBeUndefined();
  expect(store.snapshots.get("c1")).toBeUndefined();
});

test("an existing layer wins over a new draft of it", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  const first = addLayer(store, lease, undefined, "same");
  const second = addLayer(store, lease, undefined, "same");
  expect(second).toEqual(first);
  const draft = store.layers.draft();
  draft.abort();
  draft.abort();
  expect(() => draft.commit(undefined, diffIdOf("x"), 0, lease)).toThrow(/after it was closed/);
  expect(readdirSync(join(root.path, "overlay2")).sort()).toEqual([first.cacheId, "l", "trash"].sort());
  expect(store.layers.hold(first.chainId, lease)).toBe(true);
  expect(store.layers.hold(diffIdOf("none") as string as ChainId, lease)).toBe(false);
});

test("the layer limit has an error of its own", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  let top: ChainId | undefined;
  for (let index = 0; index < 125; index++) top = addLayer(store, lease, top, `layer${index}`).chainId;
  expect(store.snapshots.prepare("deep", top, "container").mount.lower).toHaveLength(125);
  const before = readdirSync(join(root.path, "overlay2")).length;
  expect(() => addLayer(store, lease, top, "one more")).toThrow(/max depth exceeded/);
  expect(readdirSync(join(root.path, "overlay2"))).toHaveLength(before);
});

test("with a released lease a commit fails and leaves nothing", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  store.leases.release(lease);
  expect(() => addLayer(store, lease, undefined, "x")).toThrow(/was released/);
  expect(store.layers.list()).toEqual([]);
  expect(readdirSync(join(root.path, "overlay2")).sort()).toEqual(["l", "trash"]);
  expect(readdirSync(join(root.path, "overlay2/l"))).toEqual([]);
});

test("a container reads the rows of its image's layers once, whatever their number", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  let top: ChainId | undefined;
  for (let index = 0; index < 10; index++) top = addLayer(store, lease, top, `layer ${index}`).chainId;
  using get = spyOn(store.database, "get");
  using all = spyOn(store.database, "all");
  const { mount } = store.snapshots.prepare("c1", top, "container");
  const statements = [...get.mock.calls, ...all.mock.calls].map(([sql]) => sql);
  expect(statements.filter((sql) => sql.includes("parent FROM chain"))).toHaveLength(1);
  expect(statements.length).toBeLessThanOrEqual(5);
  expect(mount.lower).toHaveLength(10);
  expect(store.snapshots.get("c1")?.mount).toEqual(mount);
});

test("a chain whose row is missing, or that leads to itself, is an error and not a shorter chain", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  const low = addLayer(store, lease, undefined, "low");
  const high = addLayer(store, lease, low.chainId, "high");
  const { database } = store;
  database.run("PRAGMA foreign_keys = OFF");
  database.run("UPDATE layers SET parent = ? WHERE chain_id = ?", high.chainId, low.chainId);
  const prepare = (): unknown => store.snapshots.prepare("c1", high.chainId, "container");
  expect(prepare).toThrow(expect.objectContaining({ code: "not-found" }));
  database.run("DELETE FROM layers WHERE chain_id = ?", low.chainId);
  expect(prepare).toThrow(
    expect.objectContaining({ code: "not-found", message: expect.stringContaining(low.chainId) }),
  );
});
