import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { silentLogger } from "@fathom/base";
import { mediaTypes, sha256Digest, type Digest } from "@fathom/spec";
import { startTestRegistry, type TestRegistry } from "../testing/test-registry.ts";
import { collect, type Collected, type CollectOptions } from "./collect.ts";

let registry: TestRegistry;
beforeEach(async () => {
  registry = await startTestRegistry();
});
afterEach(async () => {
  await registry[Symbol.asyncDispose]();
});

const hour = 3_600_000;

/** A collection some hours from now. */
function later(hours: number, more: Partial<CollectOptions> = {}): Promise<Collected> {
  return collect({
    store: registry.store,
    graceMs: hour,
    uploadMs: hour,
    dryRun: false,
    logger: silentLogger,
    now: () => Date.now() + hours * hour,
    ...more,
  });
}

async function image(repository: string, tag: string | undefined, layer: string, more: object = {}): Promise<Digest> {
  const config = await registry.pushBlob(repository, "{}");
  const digest = await registry.pushBlob(repository, layer);
  const value = {
    schemaVersion: 2,
    config: { mediaType: mediaTypes.ociConfig, digest: config, size: 2 },
    layers: [{ mediaType: mediaTypes.ociLayer, digest, size: layer.length }],
    ...more,
  };
  const own = sha256Digest(JSON.stringify(value));
  expect((await registry.pushManifest(repository, tag ?? own, value)).status).toBe(201);
  return own;
}

const has = async (repository: string, layer: string): Promise<boolean> =>
  (await registry.fetch("HEAD", `/v2/${repository}/blobs/${sha256Digest(layer)}`)).status === 200;

test("blobs of manifests stay, others go after the grace period, uploads too", async () => {
  await image("r", "v1", "used");
  await registry.pushBlob("r", "unused");
  await registry.fetch("POST", "/v2/r/blobs/uploads/");
  expect(await later(0.5)).toEqual({ tags: 0, manifests: 0, links: 0, blobs: 0, bytes: 0, uploads: 0 });
  expect(await later(2)).toEqual({ tags: 0, manifests: 0, links: 1, blobs: 1, bytes: 6, uploads: 1 });
  expect(await has("r", "used")).toBe(true);
  expect(await has("r", "unused")).toBe(false);
  expect((await registry.fetch("GET", "/v2/r/manifests/v1")).status).toBe(200);
});

test("a dry run counts the same and removes nothing", async () => {
  await image("r", "v1", "used");
  await registry.pushBlob("r", "unused");
  expect(await later(0.5, { dryRun: true })).toMatchObject({ links: 0, blobs: 0 });
  const dry = await later(2, { dryRun: true });
  expect(await has("r", "unused")).toBe(true);
  expect(await later(2)).toEqual(dry);
  expect(dry.blobs).toBe(1);
});

test("a blob that another repository uses stays stored", async () => {
  await image("a", "v1", "shared");
  await registry.fetch("POST", `/v2/b/blobs/uploads/?mount=${sha256Digest("shared")}&from=a`);
  expect(await later(2)).toMatchObject({ links: 1, blobs: 0 });
  expect(await has("a", "shared")).toBe(true);
  expect(await has("b", "shared")).toBe(false);
});

test("after the removal of an image its blobs go", async () => {
  const digest = await image("r", "v1", "layer");
  await registry.fetch("DELETE", `/v2/r/manifests/${digest}`);
  expect(await later(2)).toMatchObject({ links: 2, blobs: 3 });
  expect(await has("r", "layer")).toBe(false);
});

test("a client that asks for a blob keeps it for its push: HEAD, mount and another upload touch it", async () => {
  const { store } = registry;
  const digest = await registry.pushBlob("r", "asked for");
  const before = (await store.findBlob("r", digest))!.touchedMs;
  // sleep: the clock goes on by at least one unit of the store
  await Bun.sleep(5);
  await registry.pushBlob("r", "asked for");
  expect((await store.findBlob("r", digest))!.touchedMs).toBeGreaterThan(before);
});

describe("manifests without a tag", () => {
  test("stay by default", async () => {
    await image("r", undefined, "untagged");
    expect(await later(100)).toMatchObject({ manifests: 0, blobs: 0 });
  });
  test("go after their time, and their blobs with them; what an index names or what is about a kept one stays", async () => {
    const subject = await image("r", "v1", "tagged");
    await image("r", undefined, "signature", {
      subject: { mediaType: mediaTypes.ociManifest, digest: subject, size: 1 },
    });
    await image("r", undefined, "loose");
    const member = await image("r", undefined, "member");
    const size = (await registry.store.findManifest("r", member))!.bytes;
    const index = { schemaVersion: 2, manifests: [{ mediaType: mediaTypes.ociManifest, digest: member, size }] };
    expect((await registry.pushManifest("r", "multi", index, mediaTypes.ociIndex)).status).toBe(201);
    expect(await later(2, { untaggedMs: 3 * hour })).toMatchObject({ manifests: 0 });
    expect(await later(2, { untaggedMs: hour })).toMatchObject({ manifests: 1, links: 1, blobs: 2 });
    for (const layer of ["tagged", "signature", "member"]) expect(await has("r", layer)).toBe(true);
    expect(await has("r", "loose")).toBe(false);
  });
});

describe("a repository keeps the newest tags", () => {
  const rules = { untaggedMs: hour, tagsKept: (name: string) => (name === "r" ? 2 : undefined) };
  beforeEach(async () => {
    for (const repository of ["r", "other"])
      for (const tag of ["a", "b", "c", "d"]) {
        await image(repository, tag, `layer ${tag}`);
        // sleep: the next tag is newer by at least one unit of the clock
        await Bun.sleep(2);
      }
  });
  const tags = async (repository: string): Promise<string[]> => registry.store.tags(repository);
  test("the older ones go, and their images with them; a dry run counts the same", async () => {
    const dry = await later(2, { ...rules, dryRun: true });
    expect(await tags("r")).toEqual(["a", "b", "c", "d"]);
    const real = await later(2, rules);
    expect(real).toEqual(dry);
    expect(real).toMatchObject({ tags: 2, manifests: 2 });
    expect(await tags("r")).toEqual(["c", "d"]);
    expect(await tags("other")).toEqual(["a", "b", "c", "d"]);
    expect(await has("r", "layer a")).toBe(false);
    expect(await has("other", "layer a")).toBe(true);
  });
  test("an immutable tag stays, and does not count", async () => {
    await later(2, { ...rules, isImmutable: (_, tag) => tag === "a" });
    expect(await tags("r")).toEqual(["a", "c", "d"]);
  });
});

test("pushes at the same time lose nothing", async () => {
  const collecting = (async () => {
    for (let round = 0; round < 30; round++) await later(0);
  })();
  for (let n = 0; n < 20; n++) await image("r", `v${n}`, `layer ${n}`);
  await collecting;
  for (let n = 0; n < 20; n++) {
    expect((await registry.fetch("GET", `/v2/r/manifests/v${n}`)).status).toBe(200);
    expect(await has("r", `layer ${n}`)).toBe(true);
  }
});
