import { expect, test } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { failureOf, temporaryDirectory } from "@fathom/base/testing";
import { sha256Digest } from "@fathom/spec";
import { createContentWriter } from "../content/content-writer.ts";
import type { OverlayLayout } from "../snapshots/layout.ts";
import type { Trash } from "../trash.ts";
import { storeFiles } from "./store-files.ts";

test("a layer that cannot be removed does not keep the other layers, and the error comes at the end", async () => {
  using root = temporaryDirectory("fathom-collector-");
  const removed: string[] = [];
  const layout: Pick<OverlayLayout, "discard"> = {
    discard(cacheId) {
      if (cacheId === "bad") throw new Error("the disk does not answer");
      removed.push(cacheId);
    },
  };
  const trash: Pick<Trash, "empty"> = { empty: () => void removed.push("trash") };
  const files = storeFiles(root.path, layout, trash);
  const layers = ["bad", "good"].map((cacheId) => ({
    cacheId,
    link: "L",
    chainId: "sha256:0",
    parent: undefined,
    size: 1,
  }));
  expect((await failureOf(files.remove([], layers))).message).toContain("the disk does not answer");
  expect(removed).toEqual(["good", "trash"]);
});

test("other work has its turns while many layers are removed, and a blob that is stored again meanwhile stays", async () => {
  using root = temporaryDirectory("fathom-collector-");
  for (const path of ["content/sha256", "content/tmp"]) mkdirSync(join(root.path, path), { recursive: true });
  const blob = Buffer.from("stored twice");
  const write = (): void => {
    const writer = createContentWriter(root.path, { digest: sha256Digest(blob), size: blob.length });
    writer.write(blob);
    writer.commit();
  };
  write();
  let discarded = 0;
  const files = storeFiles(root.path, { discard: () => void discarded++ }, { empty() {} });
  const layers = Array.from({ length: 400 }, (_, index) => ({
    cacheId: String(index),
    link: "L",
    chainId: "sha256:0",
    parent: undefined,
    size: 1,
  }));
  const inode = files.inode(sha256Digest(blob))!;
  const removal = files.remove([{ digest: sha256Digest(blob), size: blob.length, inode }], layers);
  await new Promise((resolve) => setImmediate(resolve));
  expect(discarded).toBeLessThan(layers.length);
  write();
  await removal;
  expect(discarded).toBe(layers.length);
  expect(readFileSync(join(root.path, "content", sha256Digest(blob).replace(":", "/")))).toEqual(blob);
});
