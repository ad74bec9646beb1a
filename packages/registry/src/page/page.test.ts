import { afterAll, beforeAll, expect, test } from "bun:test";
import { mediaTypes } from "@fathom/spec";
import { startTestRegistry, type TestRegistry } from "../testing/test-registry.ts";

let registry: TestRegistry;
const hostile = '<script>alert("x")</script>';
beforeAll(async () => {
  registry = await startTestRegistry();
  const config = JSON.stringify({ os: "linux", architecture: hostile });
  const value = {
    schemaVersion: 2,
    config: { mediaType: mediaTypes.ociConfig, digest: await registry.pushBlob("a/b", config), size: config.length },
    layers: [{ mediaType: mediaTypes.ociLayer, digest: await registry.pushBlob("a/b", "x".repeat(2500)), size: 2500 }],
  };
  await registry.pushManifest("a/b", "v1", value);
  const size = JSON.stringify(value).length;
  const digest = (await registry.store.findTag("a/b", "v1"))!.digest;
  const platform = { os: "linux", architecture: "arm64", variant: "v8" };
  const index = { schemaVersion: 2, manifests: [{ mediaType: mediaTypes.ociManifest, digest, size, platform }] };
  await registry.pushManifest("a/b", "multi", index, mediaTypes.ociIndex);
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
});

test("the first page has the repositories, that of one its tags with platform, layers, size, time and digest", async () => {
  const first = await registry.fetch("GET", "/");
  expect(first.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(first.headers.get("content-security-policy")).toContain("default-src 'none'");
  const markup = (await first.text()).replace(/\s*\n\s*/g, "");
  expect(markup).toContain('<a href="/r/a/b">a/b</a></td><td class="number">2</td>');
  const page = await (await registry.fetch("GET", "/r/a/b")).text();
  expect(page).toContain("linux/arm64/v8: 1 layers, 2.6 kB");
  expect(page).toContain((await registry.store.findTag("a/b", "v1"))!.digest);
  expect(page).toContain(new Date().toISOString().slice(0, 10));
});

test("what images say of themselves is escaped", async () => {
  const page = await (await registry.fetch("GET", "/r/a/b")).text();
  expect(page).not.toContain("<script>");
  expect(page).toContain("linux/&lt;script&gt;");
});

test("an absent repository is 404, a name that the grammar forbids 400, another method 405", async () => {
  expect((await registry.fetch("GET", "/r/none")).status).toBe(404);
  expect((await registry.fetch("GET", "/r/%3Cx%3E")).status).toBe(400);
  expect((await registry.fetch("POST", "/")).status).toBe(405);
});

test("more than one page of repositories", async () => {
  for (let n = 100; n < 210; n++) await registry.pushBlob(`n${n}`, "x");
  const first = await (await registry.fetch("GET", "/")).text();
  const next = /<a href="(\?last=[^"]+)">More/.exec(first)?.[1];
  expect(next).toBe("?last=n198");
  expect(await (await registry.fetch("GET", `/${next}`)).text()).toContain("n209");
});

test("health and metrics", async () => {
  expect((await registry.fetch("GET", "/healthz")).status).toBe(200);
  await registry.fetch("GET", "/v2/none/tags/list");
  const text = await (await registry.fetch("GET", "/metrics")).text();
  expect(text).toContain('fathom_registry_requests_total{method="GET",kind="tags",status="404"} 1\n');
  expect(text).toContain("# TYPE process_resident_memory_bytes gauge\n");
});
