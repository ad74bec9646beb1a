/** What a container changed: by the rules of `docker diff`, and as a layer that gives the same files again. */
import { expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { readTarNames, StoreRig, directory, sys, tar } from "./support.ts";

const base = tar([
  directory("etc"),
  { path: "etc/passwd", text: "root" },
  { path: "etc/group", text: "root" },
  directory("old"),
  { path: "old/a", text: "a" },
  { path: "old/b", text: "b" },
  directory("root", { mode: 0o700 }),
  directory("tmp"),
  { path: "tmp/same", text: "s" },
  directory("opt"),
  { path: "bin/sh", text: "#!" },
  { path: "removed", text: "later" },
]);
const upper = tar([{ path: ".wh.removed" }, { path: "etc/hosts2", text: "h" }]);

test("added, changed, deleted; nothing for unchanged files", async () => {
  await using rig = await StoreRig.open();
  const layer = rig.layer(rig.layer(undefined, base).chainId, upper);
  const container = rig.container("c", layer.chainId);
  const at = (path: string): string => join(container.mergedPath, path);
  expect(await rig.store.snapshots.changes("c")).toEqual([]);

  writeFileSync(at("new"), "x");
  mkdirSync(at("d/e"), { recursive: true });
  writeFileSync(at("d/e/f"), "y");
  appendFileSync(at("etc/passwd"), "more");
  rmSync(at("etc/group"));
  chmodSync(at("root"), 0o700);
  // Not listed: a file that was only copied up, and a directory in which only entries changed.
  chmodSync(at("tmp/same"), 0o600);
  chmodSync(at("tmp/same"), 0o644);
  writeFileSync(at("opt/gone"), "");
  rmSync(at("opt/gone"));
  appendFileSync(at("bin/sh"), " ");
  writeFileSync(at("gone"), "");
  rmSync(at("gone"));
  // Opaque: the content below is deleted; what was made again is a change.
  rmSync(at("old"), { recursive: true });
  mkdirSync(at("old"));
  writeFileSync(at("old/b"), "again");
  writeFileSync(at("old/c"), "new");
  // A name that a layer below had removed is new.
  writeFileSync(at("removed"), "back");
  expect(await rig.store.snapshots.changes("c")).toEqual([
    { path: "/bin", kind: 0 },
    { path: "/bin/sh", kind: 0 },
    { path: "/d", kind: 1 },
    { path: "/d/e", kind: 1 },
    { path: "/d/e/f", kind: 1 },
    { path: "/etc", kind: 0 },
    { path: "/etc/group", kind: 2 },
    { path: "/etc/passwd", kind: 0 },
    { path: "/new", kind: 1 },
    { path: "/old", kind: 0 },
    { path: "/old/a", kind: 2 },
    { path: "/old/b", kind: 0 },
    { path: "/old/c", kind: 1 },
    { path: "/removed", kind: 1 },
  ]);
  expect(await rig.store.snapshots.usage("c")).toBe("x".length + 1 + "rootmore".length + 5 + 3 + 4 + "s#! ".length);
  await expect(rig.store.snapshots.changes("none")).rejects.toMatchObject({ code: "not-found" });
});

test("mount points are no changes; with content they are", async () => {
  await using rig = await StoreRig.open();
  const layer = rig.layer(undefined, base);
  const { diffPath } = rig.store.snapshots.prepare("c", layer.chainId, "container");
  expect(readdirSync(join(diffPath, "etc")).sort()).toEqual(["hostname", "hosts", "mtab", "resolv.conf"]);
  expect(readdirSync(diffPath).sort()).toEqual([".dockerenv", "dev", "etc", "proc", "sys"]);
  expect(await rig.store.snapshots.changes("c")).toEqual([]);
  const names = await readTarNames((sink) => rig.writeDiff("c", sink));
  expect(names).toEqual([]);
  writeFileSync(join(diffPath, "etc/hosts"), "own");
  mkdirSync(join(diffPath, "dev/mine"));
  expect(await rig.store.snapshots.changes("c")).toEqual([
    { path: "/dev", kind: 1 },
    { path: "/dev/mine", kind: 1 },
    { path: "/etc", kind: 0 },
    { path: "/etc/hosts", kind: 1 },
  ]);
  expect(await readTarNames((sink) => rig.writeDiff("c", sink))).toEqual(["dev/", "dev/mine/", "etc/", "etc/hosts"]);
});

test("a writable layer, written as a tar and unpacked again, shows the same files", async () => {
  await using rig = await StoreRig.open();
  const layer = rig.layer(rig.layer(undefined, base).chainId, upper);
  const first = rig.container("first", layer.chainId);
  const at = (path: string): string => join(first.mergedPath, path);
  rmSync(at("old"), { recursive: true });
  mkdirSync(at("old"));
  writeFileSync(at("old/c"), "new");
  rmSync(at("etc/group"));
  writeFileSync(at("one"), "content");
  linkSync(at("one"), at("two"));
  symlinkSync("../etc/passwd", at("bin/link"));
  chmodSync(at("bin/sh"), 0o4755);
  sys.mknodat(-100, at("device"), 0o020600, 1, 5);
  sys.mknodat(-100, at("fifo"), 0o010644, 0, 0);
  sys.fchownat(-100, at("one"), 3_000_000, 70_000);
  const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
  sys.setxattrat(-100, at("one"), "security.capability", capability);
  // An ACL (acl(5): version 2, then owner, user 1234, group, mask, others), and an overlay mark that no layer keeps.
  const acl = Buffer.from(
    "02000000" + "01000600ffffffff" + "02000400d2040000" + "04000400ffffffff" + "10000400ffffffff" + "20000000ffffffff",
    "hex",
  );
  writeFileSync(at("shared"), "with an ACL");
  sys.setxattrat(-100, at("shared"), "system.posix_acl_access", acl);
  sys.setxattrat(-100, at("shared"), "user.comment", Buffer.from("kept"));
  sys.setxattrat(-100, at("shared"), "user.overlay.opaque", Buffer.from("y"));
  renameSync(at("etc/passwd"), at("tmp/moved"));
  writeFileSync(at("ünï \n\t"), "name");
  writeFileSync(at("large"), Buffer.alloc(700_000, "x"));

  const chunks: Uint8Array[] = [];
  const { diffId, size } = await rig.writeDiff("first", (chunk) => void chunks.push(chunk));
  const archive = Buffer.concat(chunks);
  expect(archive.length).toBe(size);
  const again = await rig.writeDiff("first", () => undefined);
  expect(again).toEqual({ diffId, size });

  const committed = rig.layer(layer.chainId, archive);
  expect(committed.diffId).toBe(diffId);
  const second = rig.container("second", committed.chainId);
  // The files that every container has are made again for each container.
  const content = (path: string): string[] =>
    listing(path).filter((line) => !/^(\.dockerenv|etc\/(hostname|hosts|mtab|resolv\.conf)|dev\/console) /.test(line));
  expect(content(second.mergedPath)).toEqual(content(first.mergedPath));
  expect(await rig.store.snapshots.changes("second")).toEqual([]);
  expect(lstatSync(join(second.mergedPath, "one")).nlink).toBe(2);
  const kept = sys.getxattrat(-100, join(second.mergedPath, "one"), "security.capability");
  expect(Buffer.from(kept!).equals(capability)).toBe(true);
  const shared = join(second.mergedPath, "shared");
  expect(sys.listxattrat(-100, shared).sort()).toEqual(["system.posix_acl_access", "user.comment"]);
  expect(Buffer.from(sys.getxattrat(-100, shared, "system.posix_acl_access")!).equals(acl)).toBe(true);
});

/** Everything that a tree shows: names, types, modes, owners, times, contents. */
function listing(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .map((name) => {
      const path = join(root, name);
      const stat = lstatSync(path, { bigint: true });
      const content = stat.isFile() ? readFileSync(path, "latin1") : stat.isSymbolicLink() ? readlinkSync(path) : "";
      const time = stat.isDirectory() ? 0n : stat.mtimeNs;
      return [
        name,
        stat.mode.toString(8),
        stat.uid,
        stat.gid,
        stat.rdev,
        time,
        content.length,
        content.slice(0, 50),
      ].join(" ");
    })
    .sort();
}
