/** A full disk: a clear error, nothing left of the unfinished work, and a store that is still correct. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { silentLogger } from "@fathom/base";
import { sha256Digest } from "@fathom/spec";
import { openStore, type Store } from "@fathom/store";
import { MNT_DETACH, MS_REMOUNT } from "@fathom/sys";
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StoreRig, sys, tar } from "./support.ts";
import { until } from "@fathom/base/testing";

let mountPoint: string;
beforeEach(() => {
  mountPoint = mkdtempSync(join(tmpdir(), "fathom-full-"));
  sys.mount("tmpfs", mountPoint, "tmpfs", 0, "size=4m,mode=700");
});
afterEach(() => {
  sys.umount(mountPoint, MNT_DETACH);
  rmSync(mountPoint, { recursive: true });
});

test("while a blob is written", async () => {
  await using rig = await StoreRig.open(join(mountPoint, "store"));
  const chunk = new Uint8Array(1 << 20).fill(1);
  const small = Buffer.from("small");
  const writer = rig.store.content.writer({ digest: sha256Digest("never"), size: 16 << 20 });
  expect(() => {
    for (let index = 0; index < 16; index++) writer.write(chunk);
  }).toThrow(
    expect.objectContaining({ code: "resource-exhausted", message: expect.stringMatching(/no space left on device/) }),
  );
  expect(readdirSync(join(rig.root, "content/tmp"))).toEqual([]);
  const { digest } = rig.store.content.put(small, rig.lease);
  expect(rig.store.content.read(digest, 10)).toEqual(small);
});

test("while a layer is unpacked", async () => {
  await using rig = await StoreRig.open(join(mountPoint, "store"));
  const big = tar(Array.from({ length: 10 }, (_, index) => ({ path: `f${index}`, text: "x".repeat(1 << 20) })));
  expect(() => rig.layer(undefined, big)).toThrow(
    expect.objectContaining({ code: "resource-exhausted", message: expect.stringMatching(/"f\d".*no space left/) }),
  );
  expect(rig.store.layers.list()).toEqual([]);
  // The draft's files are freed in the background.
  await until("the trash is empty", () => readdirSync(join(rig.root, "overlay2/trash")).length === 0);
  expect(readdirSync(join(rig.root, "overlay2")).sort()).toEqual(["l", "trash"]);
  expect(rig.layer(undefined, tar([{ path: "small", text: "x" }])).size).toBe(1);
});

/** Uses up the very last byte. */
function fill(): void {
  const fd = openSync(join(mountPoint, "filler"), "w");
  for (const size of [1 << 16, 1])
    try {
      for (const bytes = new Uint8Array(size); ;) if (writeSync(fd, bytes) < size) break;
    } catch {
      // Fills the disk in pieces of this size.
    }
  closeSync(fd);
}

test("rows can still be changed and removed, and the store opens again", async () => {
  sys.mount("tmpfs", mountPoint, "tmpfs", MS_REMOUNT, "size=32m");
  const root = join(mountPoint, "store");
  const open = (): Promise<Store> =>
    openStore({ root, sys, logger: silentLogger, syncFilesystem: async () => undefined });
  const change = ({ leases }: Store): void => {
    for (let index = 0; index < 100; index++) leases.release(leases.create(`lease ${index}`));
  };
  const first = await open();
  const { digest } = first.content.put(Buffer.from("kept"), first.leases.create("mine"));
  fill();
  change(first);
  expect(() => first.content.put(Buffer.from("new"), first.leases.create("other"))).toThrow(/no space left on device/);
  await first[Symbol.asyncDispose]();
  const second = await open();
  expect(second.content.read(digest, 10)).toEqual(Buffer.from("kept"));
  expect(second.leases.list().map(({ label }) => label)).toEqual(["mine", "other"]);
  change(second);
  await second[Symbol.asyncDispose]();
});

test("while rows are written", async () => {
  await using rig = await StoreRig.open(join(mountPoint, "store"));
  const { database } = rig.store;
  database.run("CREATE TABLE filler (data BLOB) STRICT");
  expect(() => {
    for (let index = 0; index < 100; index++) database.run("INSERT INTO filler VALUES (?)", new Uint8Array(1 << 18));
  }).toThrow(expect.objectContaining({ code: "resource-exhausted" }));
  const rows = database.all("SELECT length(data) AS size FROM filler");
  expect(rows.every((row) => row["size"] === 1 << 18)).toBe(true);
  expect(database.get("PRAGMA integrity_check")).toEqual({ integrity_check: "ok" });
  database.run("DROP TABLE filler");
});
