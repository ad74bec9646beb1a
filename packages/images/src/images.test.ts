import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, systemClock } from "@fathom/base";
import { openStore } from "@fathom/store";
import { createSys } from "@fathom/sys";
import { createImages } from "./images.ts";
import { testImages } from "./testing/images-suite.ts";
import { defaultRegistryConfig } from "@fathom/distribution/testing";

testImages(async (parts) => {
  await using stack = new AsyncDisposableStack();
  const root = mkdtempSync(join(tmpdir(), "fathom-images-"));
  stack.defer(() => rmSync(root, { recursive: true }));
  const sys = createSys();
  const store = stack.use(await openStore({ root, sys, logger: silentLogger, syncFilesystem: async () => undefined }));
  const images = stack.use(
    createImages({
      ...parts,
      config: { dataRoot: root, maxConcurrentDownloads: 3, maxConcurrentUploads: 3 },
      registry: { ...defaultRegistryConfig, proxy: {}, certificateDirectories: [], attempts: 1 },
      store,
      sys,
      builtinLabels: {},
      logger: silentLogger,
      clock: systemClock,
    }),
  );
  const resources = stack.move();
  return { images, [Symbol.asyncDispose]: () => resources.disposeAsync() };
});
