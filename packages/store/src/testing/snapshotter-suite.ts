/** What every `Snapshotter` does. Each implementation and each fake runs it. */
import { expect, test } from "bun:test";
import type { ChainId } from "@fathom/spec";
import type { Layer, Lease, Snapshotter } from "../contract.ts";

/** An empty snapshotter, and functions that do what a process in a snapshot would do. */
export interface SnapshotterUnderTest extends AsyncDisposable {
  readonly snapshots: Snapshotter;
  readonly lease: Lease;
  releaseLease(): void;
  /** Those that the store has. */
  layers(): ChainId[];
  write(key: string, path: string, text: string): void;
  delete(key: string, path: string): void;
  /** undefined when the path does not exist */
  read(key: string, path: string): string | undefined;
}

const failsWith = (code: string): unknown => expect.objectContaining({ code });
const nowhere = `sha256:${"0".repeat(64)}` as string as ChainId;

export function snapshotterSuite(name: string, open: () => Promise<SnapshotterUnderTest>): void {
  /** A layer with these files on `parent`; undefined removes a file. */
  async function layer(
    { snapshots, lease, ...hands }: SnapshotterUnderTest,
    parent: ChainId | undefined,
    files: Readonly<Record<string, string | undefined>>,
  ): Promise<Layer> {
    const key = `build-${crypto.randomUUID()}`;
    snapshots.prepare(key, parent, "build");
    for (const [path, text] of Object.entries(files))
      if (text === undefined) hands.delete(key, path);
      else hands.write(key, path, text);
    return snapshots.commit(key, { lease });
  }

  test(`${name}: prepare and view take a key, remove and commit release it`, async () => {
    await using it = await open();
    const { snapshots, lease } = it;
    const made = snapshots.prepare("one", undefined, "build");
    expect(made).toMatchObject({ key: "one", kind: "active", owner: "build", parent: undefined });
    expect(snapshots.get("one")).toEqual(made);
    expect(snapshots.mounts("one")).toEqual(made.mount);
    expect(made.mount.upper).toBeDefined();
    const view = snapshots.view("two", undefined, "image-mount");
    expect(view).toMatchObject({ key: "two", kind: "view", owner: "image-mount" });
    expect(view.mount.upper).toBeUndefined();
    expect(snapshots.list().map(({ key, kind, owner }) => [key, kind, owner])).toEqual([
      ["one", "active", "build"],
      ["two", "view", "image-mount"],
    ]);
    for (const key of ["one", "two"]) {
      expect(() => snapshots.prepare(key, undefined, "build")).toThrow(failsWith("conflict"));
      expect(() => snapshots.view(key, undefined, "build")).toThrow(failsWith("conflict"));
    }
    await snapshots.remove("two");
    await snapshots.remove("two");
    it.write("one", "file", "first");
    await snapshots.commit("one", { lease });
    expect(snapshots.list()).toEqual([]);
    expect(snapshots.get("one")).toBeUndefined();
    // The same names again, without anything of the old ones in them.
    snapshots.prepare("one", undefined, "build");
    snapshots.prepare("two", undefined, "build");
    expect(it.read("one", "file")).toBeUndefined();
    expect(await snapshots.changes("one")).toEqual([]);
  });

  test(`${name}: a missing key or chain is not-found, an invalid key is rejected`, async () => {
    await using it = await open();
    const { snapshots, lease } = it;
    for (const key of ["", "../x", "a/b", ".hidden", "x".repeat(129)]) {
      expect(() => snapshots.prepare(key, undefined, "build")).toThrow(failsWith("invalid-argument"));
      expect(() => snapshots.view(key, undefined, "build")).toThrow(failsWith("invalid-argument"));
    }
    expect(() => snapshots.prepare("a", nowhere, "build")).toThrow(failsWith("not-found"));
    expect(() => snapshots.view("a", nowhere, "build")).toThrow(failsWith("not-found"));
    expect(() => snapshots.preview("a", nowhere)).toThrow(failsWith("not-found"));
    expect(() => snapshots.openChain(nowhere)).toThrow(failsWith("not-found"));
    expect(() => snapshots.mounts("a")).toThrow(failsWith("not-found"));
    expect(snapshots.get("a")).toBeUndefined();
    await expect(snapshots.changes("a")).rejects.toMatchObject({ code: "not-found" });
    await expect(snapshots.usage("a")).rejects.toMatchObject({ code: "not-found" });
    await expect(snapshots.commit("a", { lease })).rejects.toMatchObject({ code: "not-found" });
    await expect(snapshots.describe(nowhere)).rejects.toMatchObject({ code: "not-found" });
    expect(snapshots.list()).toEqual([]);
  });

  test(`${name}: written files are only in that snapshot, as changes and bytes`, async () => {
    await using it = await open();
    const { snapshots } = it;
    const { chainId } = await layer(it, undefined, { kept: "k", changed: "old", removed: "r" });
    snapshots.prepare("one", chainId, "build");
    snapshots.prepare("other", chainId, "build");
    it.write("one", "changed", "newer");
    it.write("one", "added", "1234");
    it.write("one", "fleeting", "gone");
    it.delete("one", "fleeting");
    it.delete("one", "removed");
    expect(await snapshots.changes("one")).toEqual([
      { path: "/added", kind: 1 },
      { path: "/changed", kind: 0 },
      { path: "/removed", kind: 2 },
    ]);
    expect(await snapshots.usage("one")).toBe(9);
    expect(["kept", "changed", "removed"].map((path) => it.read("other", path))).toEqual(["k", "old", "r"]);
    expect(await snapshots.changes("other")).toEqual([]);
    expect(await snapshots.usage("other")).toBe(0);
  });

  test(`${name}: a view shows its chain and cannot be committed`, async () => {
    await using it = await open();
    const { snapshots, lease } = it;
    const low = await layer(it, undefined, { file: "low" });
    const high = await layer(it, low.chainId, { file: "high", more: "m" });
    snapshots.view("none", undefined, "build");
    snapshots.view("low", low.chainId, "build");
    snapshots.view("high", high.chainId, "build");
    expect(["none", "low", "high"].map((key) => it.read(key, "file"))).toEqual([undefined, "low", "high"]);
    expect(await snapshots.changes("high")).toEqual([]);
    expect(await snapshots.usage("high")).toBe(0);
    await expect(snapshots.commit("high", { lease })).rejects.toMatchObject({ code: "invalid-argument" });
    expect(it.read("high", "more")).toBe("m");
  });

  test(`${name}: committed layers can be parents without a DiffId, and describe computes their DiffIds once`, async () => {
    await using it = await open();
    const { snapshots } = it;
    const low = await layer(it, undefined, { a: "1", b: "2" });
    const middle = await layer(it, low.chainId, { a: undefined, c: "333" });
    const top = await layer(it, middle.chainId, { b: undefined, a: "again" });
    expect([low, middle, top].map(({ diffId, parent, size }) => [diffId, parent, size])).toEqual([
      [undefined, undefined, 2],
      [undefined, low.chainId, 3],
      [undefined, middle.chainId, 5],
    ]);
    snapshots.prepare("over", top.chainId, "build");
    expect(["a", "b", "c"].map((path) => it.read("over", path))).toEqual(["again", undefined, "333"]);

    const tars = new Map<ChainId, number>();
    const tar = (written: Layer) => {
      tars.set(written.chainId, tars.get(written.chainId) ?? 0);
      return (chunk: Uint8Array) => void tars.set(written.chainId, tars.get(written.chainId)! + chunk.length);
    };
    const first = await snapshots.describe(middle.chainId, { tar });
    expect([...tars.keys()]).toEqual([low.chainId, middle.chainId]);
    expect(first.map(({ tarSize }) => tarSize)).toEqual([...tars.values()]);
    tars.clear();
    // Two at once: one writes, and both get the result.
    const [all, same] = await Promise.all([
      snapshots.describe(top.chainId, { tar }),
      snapshots.describe(top.chainId, { tar }),
    ]);
    expect(same).toEqual(all);
    expect(all.slice(0, 2)).toEqual(first);
    expect([...tars]).toEqual([[top.chainId, all[2]!.tarSize!]]);
    expect(all.map(({ size }) => size)).toEqual([2, 3, 5]);
    expect(new Set(all.map(({ diffId }) => diffId)).size).toBe(3);

    // By the chain's own id as before, and by the id from the DiffIds.
    expect(all[2]!.chainId).not.toBe(top.chainId);
    const byTrue = snapshots.prepare("by-true-id", all[2]!.chainId, "build");
    expect(byTrue.parent).toBe(top.chainId);
    expect(it.read("by-true-id", "a")).toBe("again");
    expect(it.read("over", "a")).toBe("again");
    expect(await snapshots.describe(all[2]!.chainId)).toEqual(all);
  });

  test(`${name}: a copy is a layer of the changes up to now, and the snapshot stays`, async () => {
    await using it = await open();
    const { snapshots, lease } = it;
    const low = await layer(it, undefined, { kept: "k", removed: "r" });
    const [described] = await snapshots.describe(low.chainId);
    snapshots.prepare("one", low.chainId, "container");
    expect(await snapshots.commitCopy("one", { lease })).toBeUndefined();
    it.write("one", "file", "first");
    it.delete("one", "removed");
    const copy = (await snapshots.commitCopy("one", { lease }))!;
    expect(copy).toMatchObject({ parent: low.chainId, size: "first".length });
    // The same changes again give the same layer.
    expect(await snapshots.commitCopy("one", { lease })).toEqual(copy);
    it.write("one", "file", "later");
    expect(snapshots.get("one")?.parent).toBe(low.chainId);
    snapshots.prepare("over", copy.chainId, "build");
    expect(["file", "kept", "removed"].map((path) => it.read("over", path))).toEqual(["first", "k", undefined]);
    expect(it.read("one", "file")).toBe("later");
    // A commit in place with the same changes has the same DiffId.
    const second = (await snapshots.commitCopy("one", { lease }))!;
    expect(second.diffId).not.toBe(copy.diffId);
    const { chainId } = await snapshots.commit("one", { lease });
    const chain = await snapshots.describe(chainId);
    expect(chain.map(({ diffId }) => diffId)).toEqual([described!.diffId, second.diffId]);
    expect(await snapshots.describe(second.chainId)).toMatchObject(chain.map(({ diffId, size }) => ({ diffId, size })));
  });

  test(`${name}: a copy that fails or is aborted leaves the snapshot, and no layer`, async () => {
    await using it = await open();
    const { snapshots, lease } = it;
    snapshots.prepare("one", undefined, "container");
    snapshots.view("view", undefined, "build");
    it.write("one", "file", "mine");
    const { signal } = new AbortController();
    await expect(snapshots.commitCopy("none", { lease, signal })).rejects.toMatchObject({ code: "not-found" });
    await expect(snapshots.commitCopy("view", { lease, signal })).rejects.toMatchObject({ code: "invalid-argument" });
    const aborted = AbortSignal.abort(new Error("given up"));
    await expect(snapshots.commitCopy("one", { lease, signal: aborted })).rejects.toThrow("given up");
    it.releaseLease();
    await expect(snapshots.commitCopy("one", { lease })).rejects.toMatchObject({ code: "not-found" });
    expect(it.read("one", "file")).toBe("mine");
    expect(await snapshots.changes("one")).toEqual([{ path: "/file", kind: 1 }]);
    expect(it.layers()).toEqual([]);
  });

  test(`${name}: a commit that fails leaves the snapshot`, async () => {
    await using it = await open();
    const { snapshots, lease } = it;
    snapshots.prepare("one", undefined, "build");
    it.write("one", "file", "mine");
    it.releaseLease();
    await expect(snapshots.commit("one", { lease })).rejects.toMatchObject({ code: "not-found" });
    expect(it.read("one", "file")).toBe("mine");
    expect(await snapshots.changes("one")).toEqual([{ path: "/file", kind: 1 }]);
  });

  test(`${name}: two commits of one snapshot give one layer`, async () => {
    await using it = await open();
    const { snapshots, lease } = it;
    snapshots.prepare("one", undefined, "build");
    it.write("one", "file", "mine");
    const ends = await Promise.allSettled([snapshots.commit("one", { lease }), snapshots.commit("one", { lease })]);
    expect(ends.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(ends.find(({ status }) => status === "rejected")).toMatchObject({ reason: { code: "not-found" } });
  });

  test(`${name}: the 126th layer is rejected, and its snapshot stays`, async () => {
    await using it = await open();
    const { snapshots, lease } = it;
    let top: ChainId | undefined;
    for (let index = 0; index < 125; index++) {
      snapshots.prepare("next", top, "build");
      top = (await snapshots.commit("next", { lease })).chainId;
    }
    snapshots.prepare("next", top, "build");
    await expect(snapshots.commit("next", { lease })).rejects.toMatchObject({ code: "invalid-argument" });
    expect(snapshots.get("next")?.parent).toBe(top);
  });

  test(`${name}: an aborted describe keeps finished results, and can be called again`, async () => {
    await using it = await open();
    const low = await layer(it, undefined, { a: "1" });
    const top = await layer(it, low.chainId, { b: "2" });
    const abort = new AbortController();
    const written: ChainId[] = [];
    const tar = ({ chainId }: Layer) => {
      written.push(chainId);
      if (chainId === low.chainId) abort.abort();
      return () => undefined;
    };
    await expect(it.snapshots.describe(top.chainId, { signal: abort.signal, tar })).rejects.toBe(abort.signal.reason);
    expect(written).toEqual([low.chainId]);
    expect(await it.snapshots.describe(top.chainId, { tar })).toHaveLength(2);
    expect(written.at(-1)).toBe(top.chainId);
  });
}
