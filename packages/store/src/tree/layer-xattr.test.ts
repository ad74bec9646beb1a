import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TarReader, TarWriter } from "@fathom/archive";
import { createSys } from "@fathom/sys";
import { temporaryRoot } from "../testing/test-support.ts";
import { isLayerXattr } from "./layer-xattr.ts";
import { createLayerUnpacker } from "../unpack/unpack.ts";
import { writeLayerDiff } from "./write-diff.ts";

const belongs: readonly (readonly [string, boolean])[] = [
  ["security.capability", true],
  ["system.posix_acl_access", true],
  ["system.posix_acl_default", true],
  ["user.mime_type", true],
  ["user.overlayed", true],
  ["user.overlay.opaque", false],
  ["trusted.overlay.opaque", false],
  ["trusted.overlay.origin", false],
  ["trusted.own", false],
  ["security.selinux", false],
  ["security.ima", false],
];

test("capabilities, ACLs and users' own xattrs belong to a layer; overlayfs's marks and labels of a machine do not", () => {
  expect(belongs.map(([name]) => [name, isLayerXattr(name)])).toEqual(belongs.map(([name, yes]) => [name, yes]));
});

test("the unpacker accepts what the writer writes, and neither passes on more", async () => {
  using root = temporaryRoot();
  const sys = createSys();
  // Those that any user may set; the others need root (test/store/changes.test.ts).
  const settable = ["user.mime_type", "user.overlayed", "user.overlay.opaque"];
  const source = join(root.path, "source");
  mkdirSync(source);
  writeFileSync(join(source, "file"), "");
  for (const name of settable) sys.setxattrat(-100, join(source, "file"), name, Buffer.from(name));
  const chunks: Uint8Array[] = [];
  const written: string[] = [];
  const reader = new TarReader({
    entry: ({ xattrs }) => void written.push(...xattrs.map(({ name }) => name)),
    data() {},
    end() {},
  });
  await writeLayerDiff(sys, source, [], (chunk) => {
    chunks.push(chunk);
    reader.push(chunk);
  });
  reader.finish();
  expect(written.sort()).toEqual(["user.mime_type", "user.overlayed"]);

  // A tar from elsewhere, with all of them.
  const foreign: Uint8Array[] = [];
  const writer = new TarWriter((chunk) => foreign.push(chunk));
  writer.entry({
    kind: "file",
    path: "file",
    mode: 0o644,
    uid: process.getuid!(),
    gid: process.getgid!(),
    xattrs: settable.map((name) => ({ name, value: Buffer.from(name) })),
  });
  writer.finish();
  const target = join(root.path, "target");
  mkdirSync(target);
  const unpacker = createLayerUnpacker(sys, target);
  for (const chunk of foreign) unpacker.write(chunk);
  unpacker.finish();
  const taken = sys.listxattrat(-100, join(target, "file")).filter((name) => name.startsWith("user."));
  expect(taken.sort()).toEqual(["user.mime_type", "user.overlayed"]);
});
