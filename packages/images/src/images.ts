/** Connects the parts of images: what is stored, its names, pull and push. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { formatRfc3339Nano } from "@fathom/base";
import { login } from "@fathom/distribution";
import { importImage } from "./archive/import.ts";
import { loadImages } from "./archive/load.ts";
import { saveImages } from "./archive/save.ts";
import { configOf, localImage, type ImageContext } from "./context.ts";
import type { Images, ImagesParts } from "./contract.ts";
import { imageHistory } from "./history.ts";
import { makeBuiltinFor } from "./make/builtin.ts";
import { commitLayer } from "./make/commit.ts";
import { imageOfChain } from "./make/image-of-chain.ts";
import { findForPlatform, findPlatform, shownNames } from "./names/find.ts";
import { tagImage } from "./names/names.ts";
import { LayerPulls } from "./pull/layer-pulls.ts";
import { Puller } from "./pull/puller.ts";
import { pushImage } from "./push/push.ts";
import { pruneImages } from "./removal/prune.ts";
import { removeImage } from "./removal/remove.ts";
import { LayerWorkers } from "./workers/layer-workers.ts";

/** Threads that unpack; more threads than cores are useless. */
const unpackThreads = Math.max(2, Math.min(4, navigator.hardwareConcurrency));

export function createImages(parts: ImagesParts): Images {
  const { store, publish, clock, logger, config, registry } = parts;
  store.database.migrate("engine-images", [
    {
      version: 1,
      up: ["CREATE TABLE image_tag_times (name TEXT PRIMARY KEY, time TEXT NOT NULL) STRICT, WITHOUT ROWID"],
    },
    {
      // The row goes with its name.
      version: 2,
      up: [
        "ALTER TABLE image_tag_times RENAME TO image_tag_times_1",
        "CREATE TABLE image_tag_times (name TEXT PRIMARY KEY REFERENCES image_names (name) ON DELETE CASCADE, time TEXT NOT NULL) STRICT, WITHOUT ROWID",
        "INSERT INTO image_tag_times SELECT name, time FROM image_tag_times_1 WHERE name IN (SELECT name FROM image_names)",
        "DROP TABLE image_tag_times_1",
      ],
    },
  ]);
  // The work of an earlier start is over: its leases and unfinished files are removed. Leases of clients stay.
  store.leases.releaseEarlier();
  const temporary = join(config.dataRoot, "tmp");
  rmSync(temporary, { recursive: true, force: true });
  const workers = new LayerWorkers({ count: unpackThreads, logger });
  const context: ImageContext = {
    ...parts,
    runLayer: (job, signal) => workers.run("layer", job, signal),
    runCopy: (job, signal) => workers.run("copy", job, signal),
    runBlob: (job, signal) => workers.run("blob", job, signal),
    workDirectory: () => {
      mkdirSync(temporary, { recursive: true, mode: 0o700 });
      const path = mkdtempSync(join(temporary, "work-"));
      return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
    },
    tagTime: (name) => {
      const time = store.database.get("SELECT time FROM image_tag_times WHERE name = ?", name)?.["time"];
      return typeof time === "string" ? time : undefined;
    },
    setTagTime: (name) =>
      void store.database.run(
        "INSERT INTO image_tag_times (name, time) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET time = excluded.time",
        name,
        formatRfc3339Nano(clock.nowNs()),
      ),
  };
  const layers = new LayerPulls({
    store,
    maxParallel: config.maxConcurrentDownloads,
    run: (job, report, signal) => workers.run("layer", job, signal, report),
  });
  const puller = new Puller({ store, registry, layers, publish, clock, logger, onTag: context.setTagTime });

  return {
    lookup: (name, platform) => {
      makeBuiltinFor(context, name, parts.builtinLabels);
      const { wanted, shown } = findPlatform(context, name, platform);
      return localImage(context, wanted ?? shown);
    },
    byId: (id) => {
      const record = store.images.get(id);
      return record === undefined ? undefined : localImage(context, record);
    },
    find: (name, platform) => findForPlatform(context, name, platform),
    list: () => store.images.list(),
    config: (id) => configOf(context, id),
    names: (id) => shownNames(context, id),
    lastTagTime: (id) =>
      store.images
        .names(id)
        .flatMap((one) => context.tagTime(one.name) ?? [])
        .sort()
        .at(-1),
    history: (name, platform) => imageHistory(context, name, platform),
    tag: (name, reference) => tagImage(context, name, reference),
    remove: (name, options) => removeImage(context, name, options),
    prune: (wanted) => pruneImages(context, wanted),
    pull: (request, signal) => puller.pull(request, signal),
    push: (request, signal) => pushImage(context, registry, request, signal),
    load: (archive, platform, signal) => loadImages(context, archive, platform, signal),
    save: (names, platform, signal) => saveImages(context, names, platform, signal),
    import: (request, signal) => importImage(context, request, signal),
    commit: (request, signal) => commitLayer(context, request, signal),
    make: (request, signal) => imageOfChain(context, request, signal),
    login: async (server, credentials, signal) => {
      await login(server, credentials, { config: registry, clock, signal });
    },
    [Symbol.asyncDispose]: () => workers[Symbol.asyncDispose](),
  };
}
