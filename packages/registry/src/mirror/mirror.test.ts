import { afterEach, beforeEach, expect, test } from "bun:test";
import { EngineError, silentLogger } from "@fathom/base";
import { Faults, until } from "@fathom/base/testing";
import { mediaTypes, sha256Digest, type Digest } from "@fathom/spec";
import { MemoryStore } from "../storage/memory-store.ts";
import { startTestRegistry, type TestRegistry } from "../testing/test-registry.ts";
import { createMirror } from "./mirror.ts";
import { openUpstream } from "./upstream.ts";

let other: TestRegistry;
let cache: TestRegistry;
let clock: number;
const faults = new Faults();

beforeEach(async () => {
  faults.clear();
  faults.forget();
  clock = Date.now();
  other = await startTestRegistry();
  const store = new MemoryStore();
  const upstream = faults.wrap("upstream", openUpstream(new URL(other.url), "test"));
  const mirror = createMirror({ store, upstream, expiryMs: 1000, logger: silentLogger, now: () => clock });
  cache = await startTestRegistry({ store, mirror });
});
afterEach(async () => {
  await cache[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

async function image(tag: string, layer: string): Promise<Digest> {
  const part = async (mediaType: string, text: string): Promise<object> => ({
    mediaType,
    digest: await other.pushBlob("a/b", text),
    size: text.length,
  });
  const value = {
    schemaVersion: 2,
    config: await part(mediaTypes.ociConfig, "{}"),
    layers: [await part(mediaTypes.ociLayer, layer)],
  };
  expect((await other.pushManifest("a/b", tag, value)).status).toBe(201);
  return sha256Digest(JSON.stringify(value));
}

const digestOf = async (reference: string): Promise<string | null> =>
  (await cache.fetch("GET", `/v2/a/b/manifests/${reference}`)).headers.get("docker-content-digest");
const blob = (text: string, method = "GET"): Promise<Response> =>
  cache.fetch(method, `/v2/a/b/blobs/${sha256Digest(text)}`);
const asked = (): string[] => faults.calls.map(({ name }) => name);

test("a manifest and its blobs come from the other registry once, and from here afterwards", async () => {
  const digest = await image("v1", "layer");
  expect(await digestOf("v1")).toBe(digest);
  expect((await blob("layer", "HEAD")).headers.get("content-length")).toBe("5");
  expect(await (await blob("layer")).text()).toBe("layer");
  await until("it is stored", async () => (await cache.store.findBlob("a/b", sha256Digest("layer"))) !== undefined);
  expect(asked()).toEqual(["upstream.manifest", "upstream.blob"]);
  await other[Symbol.asyncDispose]();
  expect(await digestOf("v1")).toBe(digest);
  expect(await digestOf(digest)).toBe(digest);
  expect(await (await blob("layer")).text()).toBe("layer");
  expect(asked()).toHaveLength(2);
});

test("a tag is asked again after its time, and moves; a tag that is gone there goes here", async () => {
  const first = await image("v1", "one");
  expect(await digestOf("v1")).toBe(first);
  const second = await image("v1", "two");
  expect(await digestOf("v1")).toBe(first);
  clock += 1001;
  expect(await digestOf("v1")).toBe(second);
  await other.fetch("DELETE", "/v2/a/b/manifests/v1");
  clock += 1001;
  expect(await digestOf("v1")).toBeNull();
});

test("when the other registry gives no answer, an older one counts; without one it is 503", async () => {
  const digest = await image("v1", "layer");
  await digestOf("v1");
  clock += 1001;
  faults.failAlways("upstream.manifest", new EngineError("unavailable", "cannot connect"));
  expect(await digestOf("v1")).toBe(digest);
  expect((await cache.fetch("GET", "/v2/a/b/manifests/v2")).status).toBe(503);
});

test("what the other registry does not have is 404; a blob that no manifest names is not asked for", async () => {
  expect((await cache.fetch("GET", "/v2/a/b/manifests/v1")).status).toBe(404);
  expect((await blob("unnamed")).status).toBe(404);
  expect(asked()).toEqual(["upstream.manifest"]);
});

test("a transfer that breaks off stores nothing, and the next one succeeds", async () => {
  await image("v1", "layer");
  await digestOf("v1");
  faults.failNext("upstream.blob", new EngineError("unavailable", "cut"));
  expect((await blob("layer")).status).toBe(503);
  expect(await cache.store.findBlob("a/b", sha256Digest("layer"))).toBeUndefined();
  expect(await (await blob("layer")).text()).toBe("layer");
});

test("pushes are rejected, with the place where they belong", async () => {
  const response = await cache.fetch("POST", "/v2/a/b/blobs/uploads/");
  expect(response.status).toBe(405);
  expect(await response.text()).toContain("push there");
});
