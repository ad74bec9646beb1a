import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, systemClock } from "@fathom/base";
import { hostPlatform } from "@fathom/spec";
import { openStore, type Store } from "@fathom/store";
import { createSys } from "@fathom/sys";
import type { Images, ImagesParts } from "./contract.ts";
import { createImages } from "./images.ts";
import { parseRepositoryTag } from "./names/names.ts";
import { testImages } from "./testing/images-suite.ts";
import { defaultRegistryConfig } from "@fathom/distribution/testing";

async function openImages(
  parts: Pick<ImagesParts, "uses" | "publish">,
  before: (store: Store) => void = () => undefined,
): Promise<{ readonly images: Images; readonly store: Store } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const root = mkdtempSync(join(tmpdir(), "fathom-images-"));
  stack.defer(() => rmSync(root, { recursive: true }));
  const sys = createSys();
  const store = stack.use(await openStore({ root, sys, logger: silentLogger, syncFilesystem: async () => undefined }));
  before(store);
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
  return { images, store, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

testImages(openImages);

test("the time of a name is removed with the name; those that an older version left are removed at the start", async () => {
  await using rig = await openImages({ uses: { ofImage: () => [] }, publish() {} }, ({ database }) => {
    database.migrate("engine-images", [
      {
        version: 1,
        up: ["CREATE TABLE image_tag_times (name TEXT PRIMARY KEY, time TEXT NOT NULL) STRICT, WITHOUT ROWID"],
      },
    ]);
    database.run("INSERT INTO image_tag_times VALUES ('docker.io/library/gone:1', '2020-01-01T00:00:00Z')");
  });
  const { images, store } = rig;
  const timed = (): unknown[] =>
    store.database.all("SELECT name FROM image_tag_times ORDER BY name").map(({ name }) => name);
  expect(timed()).toEqual([]);
  await images.import(
    {
      source: (async function* () {
        yield new Uint8Array(1024);
      })(),
      reference: parseRepositoryTag("made", "1"),
      message: undefined,
      config: {},
      platform: hostPlatform(),
    },
    new AbortController().signal,
  );
  images.tag("made:1", parseRepositoryTag("made", "2"));
  expect(timed()).toEqual(["docker.io/library/made:1", "docker.io/library/made:2"]);
  await images.remove("made:1", { force: false, noPrune: false });
  expect(timed()).toEqual(["docker.io/library/made:2"]);
  await images.prune(() => true);
  expect(timed()).toEqual([]);
});
