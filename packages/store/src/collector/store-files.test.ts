import { expect, test } from "bun:test";
import { temporaryDirectory } from "@fathom/base/testing";
import type { OverlayLayout } from "../snapshots/layout.ts";
import type { Trash } from "../trash.ts";
import { storeFiles } from "./store-files.ts";

test("a layer that cannot be removed does not keep the other layers, and the error comes at the end", () => {
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
  expect(() => files.remove([], layers)).toThrow("the disk does not answer");
  expect(removed).toEqual(["good", "trash"]);
});
