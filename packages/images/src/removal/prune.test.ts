import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, systemClock } from "@fathom/base";
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
