/** Snapshots over overlay2: the contract, and many layers without a tar in between. */
import { expect, test } from "bun:test";
import { chainIds, type ChainId } from "@fathom/spec";
import { writeLayerDiff, type Layer, type LayerCopy } from "@fathom/store";
import { snapshotterSuite } from "@fathom/store/testing";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { StoreRig, sys } from "./support.ts";

snapshotterSuite("overlay2", async () => {
  const rig = await StoreRig.open();
  const { snapshots, leases } = rig.store;
  const at = (key: string, path: string): { readonly path: string } & Disposable => {
    const mount = rig.mount(key);
    return { path: join(mount.path, path), [Symbol.dispose]: () => mount[Symbol.dispose]() };
  };
  return {
    snapshots,
    lease: rig.lease,
    releaseLease: () => leases.release(rig.lease),
    layers: () => rig.store.layers.list().map(({ chainId }) => chainId),
    write(key, path, text) {
      using file = at(key, path);
      writeFileSync(file.path, text);
    },
    delete(key, path) {
      using file = at(key, path);
      rmSync(file.path);
    },
    read(key, path) {
      using file = at(key, path);
      return existsSync(file.path) ? readFileSync(file.path, "utf8") : undefined;
    },
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  };
});

type Step = (at: (path: string) => string) => void;

/**
 * Ten steps of a build, each on the layer before. Together they have every kind of entry, whiteouts, opaque directories, xattrs, hard links,
 * sockets, stubs.
 */
const steps: readonly Step[] = [
  (at) => {
    for (const directory of ["bin", "data/deep", "etc"]) mkdirSync(at(directory), { recursive: true });
    writeFileSync(at("bin/tool"), "tool");
    writeFileSync(at("data/one"), "1");
    writeFileSync(at("data/deep/two"), "22");
    writeFileSync(at("etc/passwd"), "root");
  },
  (at) => {
    linkSync(at("bin/tool"), at("bin/same-tool"));
    symlinkSync("tool", at("bin/link"));
    chmodSync(at("bin/tool"), 0o4755);
  },
  (at) => rmSync(at("data/one")),
  (at) => {
    rmSync(at("data"), { recursive: true });
    mkdirSync(at("data"));
    writeFileSync(at("data/new"), "opaque");
  },
  (at) => {
    sys.mknodat(-100, at("fifo"), 0o010644, 0, 0);
    sys.mknodat(-100, at("device"), 0o020600, 1, 5);
    sys.mknodat(-100, at("data/socket"), 0o140755, 0, 0);
    sys.mknodat(-100, at("alone-socket"), 0o140755, 0, 0);
  },
  (at) => {
    writeFileSync(at("marked"), "m");
    sys.setxattrat(-100, at("marked"), "user.comment", Buffer.from("kept"));
    sys.setxattrat(-100, at("marked"), "security.capability", capability);
    // Xattrs that belong to no layer.
    for (const path of ["marked", "bin"])
      for (const name of ["trusted.machine", "user.overlay.opaque"])
        sys.setxattrat(-100, at(path), name, Buffer.from("y"));
    sys.fchownat(-100, at("bin"), 1234, 5678);
  },
  // The files that every container has, made by the launcher; one of them is real.
  (at) => {
    for (const directory of ["proc", "sys/fs/cgroup", "dev/pts", "dev/shm"])
      mkdirSync(at(directory), { recursive: true });
    for (const file of [".dockerenv", "etc/hosts", "etc/resolv.conf", "dev/console"]) writeFileSync(at(file), "");
    writeFileSync(at("etc/hostname"), "mine");
    symlinkSync("/proc/mounts", at("etc/mtab"));
  },
  // Only stubs: this layer is empty.
  (at) => {
    mkdirSync(at("proc"), { recursive: true });
    writeFileSync(at("etc/hosts"), "");
  },
  (at) => {
    writeFileSync(at("data/new"), "changed");
    rmSync(at("bin/link"));
    mkdirSync(at("bin/link"));
    writeFileSync(at("bin/link/inside"), "now a directory");
  },
  (at) => {
    rmSync(at("bin"), { recursive: true });
    writeFileSync(at("data/large"), Buffer.alloc(600_000, "x"));
  },
];
const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");

test("ten layers are committed without a tar, containers run on them, and they have the DiffIds of their tars", async () => {
  await using rig = await StoreRig.open();
  const { snapshots, layers } = rig.store;
  const committed: Layer[] = [];
  const tars: { diffId: string; size: number }[] = [];
  for (const step of steps) {
    snapshots.prepare("step", committed.at(-1)?.chainId, "build");
    {
      using root = rig.mount("step");
      step((path) => join(root.path, path));
    }
    tars.push(await rig.writeDiff("step", () => undefined));
    committed.push(await snapshots.commit("step", { lease: rig.lease }));
  }
  expect(committed.map(({ diffId }) => diffId)).toEqual(steps.map(() => undefined));
  expect(new Set(committed.map(({ chainId }) => chainId)).size).toBe(10);

  // Each chain shows the files that existed after its step.
  const shown = (top: ChainId): string[] => {
    snapshots.view("look", top, "build");
    using root = rig.mount("look");
    return readdirSync(root.path, { recursive: true, encoding: "utf8" })
      .filter((path) => lstatSync(join(root.path, path)).isFile())
      .map((path) => `${path}: ${readFileSync(join(root.path, path), "utf8").slice(0, 20)}`)
      .sort();
  };
  const seen: string[][] = [];
  for (const { chainId } of committed) {
    seen.push(shown(chainId));
    await snapshots.remove("look");
  }
  const first = ["bin/tool: tool", "data/deep/two: 22", "data/one: 1", "etc/passwd: root"];
  const second = ["bin/same-tool: tool", ...first];
  const third = second.filter((line) => !line.startsWith("data/one"));
  const fourth = [...second.filter((line) => !line.startsWith("data/")), "data/new: opaque"].sort();
  const sixth = [...fourth, "marked: m"].sort();
  const seventh = [...sixth, "etc/hostname: mine"].sort();
  const ninth = [
    ...seventh.filter((line) => !line.startsWith("data/")),
    "data/new: changed",
    "bin/link/inside: now a directory",
  ].sort();
  const tenth = [...ninth.filter((line) => !line.startsWith("bin/")), `data/large: ${"x".repeat(20)}`].sort();
  expect(seen).toEqual([first, second, third, fourth, fourth, sixth, seventh, seventh, ninth, tenth]);

  // A container on top: it reads, deletes and writes, and no layer changes.
  const top = committed[9]!;
  snapshots.prepare("run", top.chainId, "container");
  {
    using root = rig.mount("run");
    for (const path of ["data", "marked"]) rmSync(join(root.path, path), { recursive: true });
    writeFileSync(join(root.path, "etc/passwd"), "mine");
    expect(existsSync(join(root.path, "data"))).toBe(false);
  }
  expect(await snapshots.changes("run")).toEqual([
    { path: "/data", kind: 2 },
    { path: "/etc", kind: 0 },
    { path: "/etc/passwd", kind: 0 },
    { path: "/marked", kind: 2 },
  ]);

  const described = await snapshots.describe(top.chainId);
  expect(described.map(({ diffId, tarSize }) => ({ diffId: diffId as string, size: tarSize }))).toEqual(tars);
  expect(described.map(({ chainId }) => chainId)).toEqual(chainIds(described.map(({ diffId }) => diffId)));
  expect(described.map(({ size }) => size)).toEqual(committed.map(({ size }) => size));
  expect(described[7]!.size).toBe(0);

  // The same image from its tars, in a store of its own: it shows the same files.
  await using other = await StoreRig.open();
  let below: ChainId | undefined;
  for (const { chainId } of committed) {
    const { diffPath, parent } = layers.get(chainId)!;
    const lowerPaths: string[] = [];
    for (let at = parent; at !== undefined; at = layers.get(at)!.parent) lowerPaths.push(layers.get(at)!.diffPath);
    const chunks: Uint8Array[] = [];
    await writeLayerDiff(sys, diffPath, lowerPaths, (chunk) => void chunks.push(chunk));
    below = other.layer(below, Buffer.concat(chunks)).chainId;
  }
  expect(below).toBe(described[9]!.chainId);
  const facts = (of: StoreRig, chain: ChainId): string[] => {
    of.store.snapshots.view("all", chain, "build");
    using root = of.mount("all");
    return readdirSync(root.path, { recursive: true, encoding: "utf8" })
      .map((path) => {
        const stat = lstatSync(join(root.path, path), { bigint: true });
        const xattrs = sys
          .listxattrat(-100, join(root.path, path))
          .filter((name) => !name.startsWith("trusted.overlay."));
        return [path, stat.mode, stat.uid, stat.gid, stat.rdev, stat.mtimeNs, xattrs.sort()].join(" ");
      })
      .sort();
  };
  expect(facts(rig, top.chainId)).toEqual(facts(other, below!));
});

test("a copy that fails or is empty leaves no directory; the disk's error is kept", async () => {
  await using rig = await StoreRig.open();
  const { snapshots } = rig.store;
  const { diffPath } = snapshots.prepare("one", undefined, "build");
  const overlay = join(rig.root, "overlay2");
  const before = readdirSync(overlay);
  expect(await snapshots.commitCopy("one", { lease: rig.lease })).toBeUndefined();
  expect(readdirSync(overlay)).toEqual(before);
  writeFileSync(join(diffPath, "file"), "written");
  const full = Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
  const copy = async ({ targetPath }: LayerCopy): Promise<never> => {
    writeFileSync(join(targetPath, "half"), "w");
    throw full;
  };
  await expect(snapshots.commitCopy("one", { lease: rig.lease, copy })).rejects.toMatchObject({
    code: "resource-exhausted",
    message: "commit the writable layer of one: no space left on device",
  });
  expect(readdirSync(overlay)).toEqual(before);
  expect(rig.store.layers.list()).toEqual([]);
});

test("what a collection reaches: a committed layer by its lease, by a snapshot, by an image under either id", async () => {
  await using rig = await StoreRig.open();
  const { store, lease } = rig;
  const { snapshots } = store;
  const commit = async (parent: ChainId | undefined, name: string): Promise<Layer> => {
    writeFileSync(join(snapshots.prepare("step", parent, "build").diffPath, name), name);
    return snapshots.commit("step", { lease });
  };
  const low = await commit(undefined, "low");
  const high = await commit(low.chainId, "high");
  const loose = await commit(low.chainId, "loose");
  expect((await store.collector.collect()).layers).toEqual([]);
  const [, described] = await snapshots.describe(high.chainId);
  const config = store.content.put(Buffer.from("{}"), lease).digest;
  store.images.put(
    {
      id: config,
      layers: [low.chainId, described!.chainId],
      blobs: [],
      manifests: [],
      storedAt: "2026-01-01T00:00:00Z",
      size: 1,
      parent: undefined,
    },
    lease,
  );
  expect(store.images.get(config)!.layers).toEqual([low.chainId, high.chainId]);
  snapshots.view("look", loose.chainId, "build");
  store.leases.release(lease);
  expect((await store.collector.collect()).layers).toEqual([]);
  await snapshots.remove("look");
  expect((await store.collector.collect()).layers).toEqual([loose.chainId]);
  expect(existsSync(loose.diffPath)).toBe(false);
  // A layer that arrives as a tar finds the described layer: there is one directory.
  const again = store.leases.create("again");
  expect(store.layers.hold(described!.chainId, again)).toBe(true);
  const draft = store.layers.draft();
  expect(draft.commit(low.chainId, described!.diffId, 4, again).chainId).toBe(high.chainId);
  store.images.remove(config);
  expect((await store.collector.collect()).layers).toEqual([]);
  store.leases.release(again);
  expect((await store.collector.collect()).layers).toEqual([high.chainId, low.chainId]);
});
