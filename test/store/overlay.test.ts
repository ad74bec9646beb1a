/** Layers as overlays of the kernel: many layers, and layers that are never written again. */
import { expect, test } from "bun:test";
import type { ChainId } from "@fathom/spec";
import {
  chmodSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { directory, StoreRig, tar, type Entry } from "./support.ts";

test("125 layers can be mounted, and each of them is visible", async () => {
  await using rig = await StoreRig.open();
  let top: ChainId | undefined;
  for (let index = 0; index < 125; index++)
    top = rig.layer(
      top,
      tar([
        { path: `file${index}`, text: `${index}` },
        { path: "last", text: `${index}` },
      ]),
    ).chainId;
  const container = rig.container("deep", top);
  expect(container.lowerPaths).toHaveLength(125);
  // One file of each layer, one file that every layer overwrites, and the files that every container has.
  expect(readdirSync(container.mergedPath)).toHaveLength(131);
  expect(readFileSync(join(container.mergedPath, "file0"), "utf8")).toBe("0");
  expect(readFileSync(join(container.mergedPath, "last"), "utf8")).toBe("124");
  writeFileSync(join(container.mergedPath, "file0"), "written");
  expect(await rig.store.snapshots.changes("deep")).toEqual([{ path: "/file0", kind: 0 }]);
});

test("image layers are never written again, whatever containers do to every file", async () => {
  await using rig = await StoreRig.open();
  const names = Array.from({ length: 40 }, (_, index) => `dir${index % 5}/file${index}`);
  const low = rig.layer(
    undefined,
    tar([...[0, 1, 2, 3, 4].map((index) => directory(`dir${index}`)), ...names.map((path) => ({ path, text: path }))]),
  );
  const high = rig.layer(
    low.chainId,
    tar([{ path: ".wh.dir4" }, { path: "dir0/.wh.file0" }, { path: "top", text: "t" }]),
  );
  const before = [hash(low.diffPath), hash(high.diffPath)];
  const first = rig.container("first", high.chainId);
  const second = rig.container("second", high.chainId);
  const at = (name: string): string => join(first.mergedPath, name);
  for (const name of readdirSync(first.mergedPath, { recursive: true, encoding: "utf8" })) {
    if (!lstatSync(at(name)).isFile()) continue;
    writeFileSync(at(name), "overwritten");
    chmodSync(at(name), 0o777);
  }
  for (const name of readdirSync(at("dir1"))) renameSync(at(`dir1/${name}`), at(`moved-${name}`));
  rmSync(at("dir2"), { recursive: true });
  writeFileSync(at("dir4"), "a file now");
  expect([hash(low.diffPath), hash(high.diffPath)]).toEqual(before);
  // The other container sees nothing of it.
  expect(readFileSync(join(second.mergedPath, "dir2/file2"), "utf8")).toBe("dir2/file2");
  expect(readFileSync(join(second.mergedPath, "top"), "utf8")).toBe("t");
  expect(readdirSync(join(second.mergedPath, "dir0")).includes("file0")).toBe(false);
});

test("a container without an image has a root of its own", async () => {
  await using rig = await StoreRig.open();
  const container = rig.container("scratch", undefined);
  expect(readdirSync(container.mergedPath).sort()).toEqual([".dockerenv", "dev", "etc", "proc", "sys"]);
  writeFileSync(join(container.mergedPath, "a"), "1");
  expect(await rig.store.snapshots.changes("scratch")).toEqual([{ path: "/a", kind: 1 }]);
  rig.unmount(container);
  await rig.store.snapshots.remove("scratch");
  expect(rig.store.snapshots.list()).toEqual([]);
});

test("the files that every container has are made over any image, and the host follows no path of the image", async () => {
  await using rig = await StoreRig.open();
  const shown = (id: string, ...layers: readonly Entry[][]): Record<string, string[]> => {
    let parent: ChainId | undefined;
    for (const entries of layers) parent = rig.layer(parent, tar(entries)).chainId;
    const { mergedPath } = rig.container(id, parent);
    const list = (name: string): string[] => {
      const path = join(mergedPath, name);
      if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) return [];
      return readdirSync(path).sort();
    };
    return { etc: list("etc"), dev: list("dev") };
  };
  const all = { etc: ["hostname", "hosts", "mtab", "resolv.conf"], dev: ["console", "pts", "shm"] };
  const etc = [directory("etc", { mode: 0o700 }), { path: "etc/passwd", text: "root" }];
  expect(shown("empty", [{ path: "a" }])).toEqual(all);
  expect(shown("removed", etc, [{ path: ".wh.etc" }, { path: ".wh.dev" }])).toEqual(all);
  expect(shown("removed-above-a-file", [{ path: "etc", text: "no directory" }], [{ path: ".wh.etc" }])).toEqual(all);
  expect(shown("opaque", [{ path: "etc/hosts", text: "h" }], [{ path: "etc/.wh..wh..opq" }])).toEqual(all);
  expect(shown("whiteout-inside", [{ path: "etc/hosts", text: "h" }], [{ path: "etc/.wh.hosts" }])).toEqual(all);
  // The directory hides the link below it. The host has an /etc/hosts and a /dev/shm, which are not the image's.
  const links: Entry[] = [
    { path: "etc", kind: "symlink", linkPath: "/etc" },
    { path: "dev", kind: "symlink", linkPath: "/dev" },
  ];
  const other = [directory("etc"), directory("dev")];
  expect(shown("over-links", links, other)).toEqual(all);
  expect(shown("over-files", [{ path: "etc" }, { path: "dev" }], other)).toEqual(all);
  expect(shown("links", links)).toEqual({ etc: [], dev: [] });
  expect(shown("a-link-over", other, links)).toEqual({ etc: [], dev: [] });
  expect(shown("below-a-file", etc, [{ path: "etc", text: "a file" }])).toEqual({ ...all, etc: [] });
});

test("a directory in which own files are made keeps the image's owner, mode and time", async () => {
  await using rig = await StoreRig.open();
  const { chainId } = rig.layer(undefined, tar([directory("etc", { mode: 0o2751, uid: 7, gid: 8 })]));
  const { mode, uid, gid, mtimeMs } = lstatSync(join(rig.container("c", chainId).mergedPath, "etc"));
  expect([mode & 0o7777, uid, gid, Math.floor(mtimeMs)]).toEqual([0o2751, 7, 8, 1_600_000_000_123]);
});

function hash(root: string): string {
  const hasher = new Bun.CryptoHasher("sha256");
  for (const name of readdirSync(root, { recursive: true, encoding: "utf8" }).sort()) {
    const path = join(root, name);
    const stat = lstatSync(path, { bigint: true });
    const content = stat.isFile() ? readFileSync(path) : stat.isSymbolicLink() ? readlinkSync(path) : "";
    hasher.update(`${name}\0${stat.mode}\0${stat.uid}\0${stat.gid}\0${stat.rdev}\0${stat.mtimeNs}\0${stat.ctimeNs}\0`);
    hasher.update(content);
  }
  return hasher.digest("hex");
}
