import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, systemClock } from "@fathom/base";
import { parseDiffId, sha256Digest } from "@fathom/spec";
import { openStore } from "@fathom/store";
import { createSys } from "@fathom/sys";
import { pruneImages } from "./prune.ts";
import type { ImageContext } from "../context.ts";

test("a prune removes what failed pulls left, and nothing that a running pull holds", async () => {
  const root = mkdtempSync(join(tmpdir(), "fathom-prune-"));
  try {
    await using store = await openStore({
      root,
      sys: createSys(),
      logger: silentLogger,
      syncFilesystem: async () => undefined,
    });
    const failed = store.leases.create("failed pull");
    store.content.put(Buffer.from("left behind"), failed);
    store.leases.release(failed);
    const running = store.leases.create("running pull");
    const held = store.content.put(Buffer.from("under way"), running);
    const context: Partial<ImageContext> = { store, clock: systemClock, publish() {} };
    const report = await pruneImages(context as ImageContext, () => true);
    expect(report).toEqual({ removed: [], reclaimedBytes: "left behind".length });
    expect(store.content.list()).toEqual([held]);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("a prune of many images collects once, and other work has its turns; a shared layer is reported with its last image", async () => {
  const root = mkdtempSync(join(tmpdir(), "fathom-prune-"));
  try {
    await using store = await openStore({
      root,
      sys: createSys(),
      logger: silentLogger,
      syncFilesystem: async () => undefined,
    });
    const lease = store.leases.create("made");
    const base = store.layers.draft().commit(undefined, parseDiffId(sha256Digest("base")), 100, lease);
    const images = Array.from({ length: 40 }, (_, index) => {
      const top = store.layers.draft().commit(base.chainId, parseDiffId(sha256Digest(`${index}`)), index, lease);
      const diffIds = [base.diffId, top.diffId];
      const config = JSON.stringify({
        os: "linux",
        architecture: "amd64",
        rootfs: { type: "layers", diff_ids: diffIds },
      });
      const { digest: id } = store.content.put(Buffer.from(config), lease);
      const layers = [base.chainId, top.chainId];
      store.images.put({ id, layers, blobs: [], manifests: [], storedAt: "", size: 0, parent: undefined }, lease);
      return { id, top };
    }).sort((a, b) => (a.id < b.id ? -1 : 1));
    store.leases.release(lease);
    let collections = 0;
    const collector = { ...store.collector, collect: () => (collections++, store.collector.collect()) };
    const context: Partial<ImageContext> = {
      store: { ...store, collector },
      clock: systemClock,
      uses: { ofImage: () => [] },
      publish() {},
    };
    let rounds = 0;
    const round = (): void => {
      rounds++;
      timer = setImmediate(round);
    };
    let timer = setImmediate(round);
    const { removed, reclaimedBytes } = await pruneImages(context as ImageContext, () => true);
    clearImmediate(timer);
    expect(collections).toBe(1);
    expect(rounds).toBeGreaterThanOrEqual(5);
    expect(removed).toEqual([
      ...images.flatMap(({ id, top }) => [
        { kind: "image" as const, id },
        { kind: "layer" as const, chainId: top.chainId },
      ]),
      { kind: "layer", chainId: base.chainId },
    ]);
    // Of an image, only its layers count.
    expect(reclaimedBytes).toBe(100 + (39 * 40) / 2);
    expect([store.layers.list(), store.content.list()]).toEqual([[], []]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
