/** Directories without an entry in a layer's archive: they stay as the layers below have them. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Layer } from "@fathom/store";
import { AT_SYMLINK_NOFOLLOW } from "@fathom/sys";
import { lstatSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { directory, StoreRig, sys, tar, type Entry } from "./support.ts";

let rig: StoreRig;
let layers: number;
beforeEach(async () => {
  rig = await StoreRig.open();
  layers = 0;
});
afterEach(async () => rig[Symbol.asyncDispose]());

const whiteout = (path: string): Entry => ({ path });
const past = 1_500_000_000_000_000_000n;

/** On top of the last layer. Each has a file of its own, so that all are different. */
function chain(...archives: readonly (readonly Entry[])[]): Layer {
  let top: Layer | undefined;
  for (const entries of archives)
    top = rig.layer(top?.chainId, tar([...entries, { path: `layer-${layers++}`, text: String(layers) }]));
  return top!;
}

/** "mode uid:gid", as a container sees it. */
function seen(top: Layer, path: string): string {
  const container = rig.container(`see-${layers++}`, top.chainId);
  const stat = lstatSync(join(container.mergedPath, path));
  rig.unmount(container);
  return `${(stat.mode & 0o7777).toString(8)} ${stat.uid}:${stat.gid}`;
}

test("owner, mode, time and xattrs come from the nearest layer below that has it", () => {
  const note = { name: "user.note", value: Buffer.from("hi") };
  const base = [
    directory("tmp", { mode: 0o1777, uid: 5, gid: 6, mtimeNs: past, xattrs: [note] }),
    directory("tmp/in", { mode: 0o2750, uid: 7, gid: 8 }),
  ];
  const top = chain(base, [{ path: "other", text: "x" }], [{ path: "tmp/in/new/foo", text: "x" }]);
  expect(seen(top, "tmp")).toBe("1777 5:6");
  expect(seen(top, "tmp/in")).toBe("2750 7:8");
  expect(seen(top, "tmp/in/new")).toBe("755 0:0");
  const own = join(top.diffPath, "tmp");
  expect(sys.getxattrat(-100, own, "user.note")).toEqual(new Uint8Array(note.value));
  expect(sys.fstatat(-100, own, AT_SYMLINK_NOFOLLOW).mtimeNs).toBe(past);
  // Through several layers that have no entry for it either.
  expect(seen(chain(base, [{ path: "tmp/a", text: "" }], [{ path: "tmp/b", text: "" }]), "tmp")).toBe("1777 5:6");
});

test("a whiteout alone resets nothing", () => {
  const top = chain([directory("d", { mode: 0o700, uid: 9, gid: 9 }), { path: "d/old" }], [whiteout("d/.wh.old")]);
  expect(seen(top, "d")).toBe("700 9:9");
  const opaque = chain(
    [directory("d", { mode: 0o700, uid: 9, gid: 9 }), { path: "d/old" }],
    [whiteout("d/.wh..wh..opq")],
  );
  expect(seen(opaque, "d")).toBe("700 9:9");
});

test("an entry in the layer itself wins, before or after its files", () => {
  const base = [directory("d", { mode: 0o1777 })];
  expect(seen(chain(base, [directory("d", { mode: 0o711 }), { path: "d/f" }]), "d")).toBe("711 0:0");
  expect(seen(chain(base, [{ path: "d/f" }, directory("d", { mode: 0o711 })]), "d")).toBe("711 0:0");
});

test("an entry that a layer in between removed, replaced or hid is not used", () => {
  const base = [directory("d", { mode: 0o1777 }), directory("d/e", { mode: 0o1777 })];
  const file = [{ path: "d/e/f", text: "x" }];
  expect(seen(chain(base, [whiteout(".wh.d")], file), "d")).toBe("755 0:0");
  expect(seen(chain(base, [whiteout("d/.wh.e")], file), "d/e")).toBe("755 0:0");
  expect(seen(chain(base, [whiteout("d/.wh.e")], file), "d")).toBe("1777 0:0");
  expect(seen(chain(base, [whiteout("d/.wh..wh..opq")], file), "d/e")).toBe("755 0:0");
  // In the same layer.
  expect(seen(chain(base, [whiteout(".wh.d"), ...file]), "d")).toBe("755 0:0");
  expect(seen(chain(base, [...file, whiteout(".wh.d")]), "d")).toBe("755 0:0");
  expect(seen(chain(base, [whiteout("d/.wh..wh..opq"), ...file]), "d/e")).toBe("755 0:0");
  expect(seen(chain(base, [whiteout("d/.wh..wh..opq"), ...file]), "d")).toBe("1777 0:0");
});

test("no symlink is followed to find an implied directory, and none is changed", () => {
  const outside = join(rig.root, "outside");
  mkdirSync(outside, { mode: 0o700 });
  const base = [{ path: "link", kind: "symlink", linkPath: outside } as const];
  const top = chain(base, [{ path: "link/sub/f", text: "x" }]);
  expect(seen(top, "link")).toBe("755 0:0");
  expect(lstatSync(outside).mode & 0o777).toBe(0o700);
});
