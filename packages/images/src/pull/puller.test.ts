import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, systemClock } from "@fathom/base";
import { failureOf } from "@fathom/base/testing";
import { ScriptedRegistry, defaultRegistryConfig } from "@fathom/distribution/testing";
import { mediaTypes, parsePlatform, parseReference, sha256Digest, type Platform } from "@fathom/spec";
import { openStore, type Store } from "@fathom/store";
import { createSys } from "@fathom/sys";
import { LayerPulls, type LayerPullsOptions } from "./layer-pulls.ts";
import { Puller } from "./puller.ts";

let registry: ScriptedRegistry;
let root: string;
let store: Store;
let puller: Puller;
/** What the pull's worker threads do. */
let run: LayerPullsOptions["run"];
beforeEach(async () => {
  run = () => expect.unreachable();
  registry = await ScriptedRegistry.start();
  root = mkdtempSync(join(tmpdir(), "fathom-puller-"));
  store = await openStore({ root, sys: createSys(), logger: silentLogger, syncFilesystem: async () => undefined });
  puller = new Puller({
    store,
    registry: { ...defaultRegistryConfig, proxy: {}, certificateDirectories: [], attempts: 1 },
    layers: new LayerPulls({ store, maxParallel: 1, run: (...job) => run(...job) }),
    publish() {},
    clock: systemClock,
    logger: silentLogger,
  });
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  rmSync(root, { recursive: true });
});

async function pull(platform?: Platform): Promise<string[]> {
  const request = { reference: parseReference(`${registry.host}/app:1`), platform, credentials: undefined };
  registry.requests.length = 0;
  for await (const _ of puller.pull(request, new AbortController().signal));
  return registry.requests.map(({ method, path }) => `${method} ${path.replace(/^\/v2\/app\/|sha256:.*/g, "")}`);
}

test("a platform that the index does not have is an error after the first event, so that clients get it in the stream", async () => {
  const entry = addImage("app:amd", "amd64");
  registry.addManifest("app:1", mediaTypes.ociIndex, {
    schemaVersion: 2,
    manifests: [{ ...entry, platform: { os: "linux", architecture: "amd64" } }],
  });
  const request = {
    reference: parseReference(`${registry.host}/app:1`),
    platform: parsePlatform("linux/s390x"),
    credentials: undefined,
  };
  const events: string[] = [];
  const pulling = (async () => {
    for await (const { kind } of puller.pull(request, new AbortController().signal)) events.push(kind);
  })();
  expect(await failureOf(pulling)).toMatchObject({
    code: "not-found",
    message: "no matching manifest for linux/s390x in the manifest list entries",
  });
  expect(events).toEqual(["pulling"]);
});

/** An image of no layers. */
function addImage(name: string, architecture: string) {
  const config = Buffer.from(JSON.stringify({ os: "linux", architecture, rootfs: { type: "layers", diff_ids: [] } }));
  return registry.addManifest(name, mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: registry.addBlob(config, mediaTypes.ociConfig),
    layers: [],
  });
}

test("too many layers are rejected before anything is downloaded", async () => {
  const layer = { mediaType: mediaTypes.ociLayer, digest: sha256Digest("layer"), size: 5 };
  registry.addManifest("app:1", mediaTypes.ociManifest, {
    schemaVersion: 2,
    config: registry.addBlob(Buffer.from("{}"), mediaTypes.ociConfig),
    layers: Array.from({ length: 126 }, () => layer),
  });
  const error = await pull().catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "invalid-argument" });
  expect(String(error)).toContain("/app:1 has 126 layers, an image may have 125");
  expect(registry.requests.some(({ path }) => path.includes("/blobs/"))).toBe(false);
});

test("an image of one manifest: one HEAD shows that it is up to date, for any platform", async () => {
  addImage("app:1", "s390x");
  expect(await pull()).toContain("GET manifests/1");
  expect(await pull()).toEqual(["HEAD manifests/1"]);
});

test("an image of an index: one HEAD for the stored platform, a GET for another", async () => {
  const entry = (architecture: string) => ({
    ...addImage(`app:${architecture}`, architecture),
    platform: { os: "linux", architecture },
  });
  registry.addManifest("app:1", mediaTypes.ociIndex, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [entry("s390x"), entry("ppc64le")],
  });
  await pull(parsePlatform("linux/s390x"));
  expect(await pull(parsePlatform("linux/s390x"))).toEqual(["HEAD manifests/1"]);
  expect(await pull(parsePlatform("linux/ppc64le"))).toContain("GET manifests/1");
});

test("a pull in events: the progress of each layer, the target of the name, and whether it is another image than before", async () => {
  const [low, high] = [sha256Digest("low"), sha256Digest("high")];
  const config = { os: "linux", architecture: "s390x", rootfs: { type: "layers", diff_ids: [low, high] } };
  const layers = [Buffer.from("low, compressed"), Buffer.from("high, compressed")].map((blob) =>
    registry.addBlob(blob, mediaTypes.ociLayer),
  );
  const manifest = registry.addManifest("app:1", mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: registry.addBlob(Buffer.from(JSON.stringify(config)), mediaTypes.ociConfig),
    layers,
  });
  run = async (_job, report) => {
    for (const current of [0, 5, 500]) report({ kind: "downloading", current });
    report({ kind: "downloaded" });
    return { size: 1, implied: [], blob: undefined };
  };
  const reference = parseReference(`${registry.host}/app:1`);
  const request = { reference, platform: parsePlatform("linux/amd64"), credentials: undefined };
  const events = await Array.fromAsync(puller.pull(request, new AbortController().signal));
  expect(events[0]).toEqual({ kind: "pulling", reference });
  for (const { digest, size } of layers)
    expect(events.flatMap((event) => (event.kind === "layer" && event.layer === digest ? [event] : []))).toEqual(
      [
        { phase: "queued" as const, current: 0 },
        ...(digest === layers[0]!.digest ? [] : [{ phase: "waiting" as const, current: 0 }]),
        // Neither the first byte nor bytes beyond the size are an event.
        { phase: "downloading" as const, current: 5 },
        { phase: "downloaded" as const, current: size },
        { phase: "unpacked" as const, current: size },
      ].map((event) => ({ kind: "layer", layer: digest, total: size, ...event })),
    );
  expect(events.slice(-2)).toEqual([
    { kind: "resolved", digest: manifest.digest },
    {
      kind: "done",
      reference,
      changed: true,
      mismatches: [{ reference, own: parsePlatform("linux/s390x"), wanted: parsePlatform("linux/amd64") }],
    },
  ]);
});
