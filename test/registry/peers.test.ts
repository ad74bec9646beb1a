/** Other programs use our registry: skopeo, the docker CLI through our daemon, raw requests; and Debian's registry answers the same requests. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256Digest } from "@fathom/spec";
import { TestDaemon } from "../daemon/harness.ts";
import { curl, expectSuccess, skopeoCopy, startRegistry, type RegistryProcess } from "./support.ts";

let daemon: TestDaemon;
let registry: RegistryProcess;
let ours: string;
let debians: string;

beforeAll(async () => {
  daemon = new TestDaemon("registry-peers");
  await daemon.start();
  daemon.loadImage();
  debians = await daemon.startRegistry();
  registry = await startRegistry(daemon, 5001, join(daemon.work, "ours"));
  ours = registry.address;
}, 60_000);

afterAll(async () => {
  registry.process.kill("SIGTERM");
  expect(await registry.process.exited).toBe(0);
  await daemon.close();
}, 60_000);

/** Debian's registry shows OCI manifests only to clients that ask for them. */
const acceptOci = ["-H", "Accept: application/vnd.oci.image.manifest.v1+json"];

const layout = (name: string): string => join(daemon.work, name);
const blobsOf = (name: string): string[] => readdirSync(join(layout(name), "blobs/sha256")).toSorted();

test("an image goes through skopeo into our registry, from there into Debian's, and back, byte for byte", () => {
  skopeoCopy(daemon, `oci:${layout("layout")}`, `docker://${ours}/team/app:v1`);
  skopeoCopy(daemon, `docker://${ours}/team/app:v1`, `docker://${debians}/team/app:v1`);
  skopeoCopy(daemon, `docker://${debians}/team/app:v1`, `docker://${ours}/back:v1`);
  skopeoCopy(daemon, `docker://${ours}/back:v1`, `oci:${layout("back")}:v1`);
  expect(blobsOf("back")).toEqual(blobsOf("layout"));
  for (const name of blobsOf("back"))
    expect(sha256Digest(readFileSync(join(layout("back"), "blobs/sha256", name)))).toBe(`sha256:${name}` as never);
  const manifest = (host: string): string => curl(daemon, ...acceptOci, `http://${host}/v2/team/app/manifests/v1`).body;
  expect(manifest(ours)).toBe(manifest(debians));
});

test("an index with platforms keeps its digest", () => {
  skopeoCopy(daemon, `oci:${layout("layout")}`, `docker://${ours}/multi:one`);
  const one = curl(daemon, ...acceptOci, `http://${ours}/v2/multi/manifests/one`);
  const entry = (architecture: string): object => ({
    mediaType: one.fields.get("content-type"),
    digest: one.fields.get("docker-content-digest"),
    size: one.body.length,
    platform: { os: "linux", architecture },
  });
  const mediaType = "application/vnd.oci.image.index.v1+json";
  const index = JSON.stringify({ schemaVersion: 2, mediaType, manifests: [entry("amd64"), entry("arm64")] });
  writeFileSync(layout("index.json"), index);
  const put = curl(
    daemon,
    "-X",
    "PUT",
    "-H",
    `Content-Type: ${mediaType}`,
    "--data-binary",
    `@${layout("index.json")}`,
    `http://${ours}/v2/multi/manifests/all`,
  );
  expect(put.status).toBe(201);
  skopeoCopy(daemon, `docker://${ours}/multi:all`, `docker://${debians}/multi:all`);
  const moved = curl(daemon, "-H", `Accept: ${mediaType}`, `http://${debians}/v2/multi/manifests/all`);
  expect(moved.fields.get("docker-content-digest")).toBe(sha256Digest(index));
});

test("skopeo lists, inspects and deletes", () => {
  const tls = "--tls-verify=false";
  const list = JSON.parse(expectSuccess(daemon.run("skopeo", "list-tags", tls, `docker://${ours}/team/app`))) as object;
  expect(list).toEqual({ Repository: `${ours}/team/app`, Tags: ["v1"] });
  skopeoCopy(daemon, `oci:${layout("layout")}`, `docker://${ours}/deleted:v1`);
  expectSuccess(daemon.run("skopeo", "delete", tls, `docker://${ours}/deleted:v1`));
  expect(curl(daemon, `http://${ours}/v2/deleted/manifests/v1`).status).toBe(404);
});

test("the docker CLI pushes through our daemon, pulls, and runs; the digest is the same on all sides", () => {
  const name = `${ours}/pushed/by-docker:1`;
  daemon.docker("tag", daemon.image, name);
  const pushed = daemon.docker("push", name);
  const digest = /digest: (sha256:[0-9a-f]{64})/.exec(pushed)?.[1];
  expect(digest).toBeDefined();
  expect(curl(daemon, "-I", `http://${ours}/v2/pushed/by-docker/manifests/1`).fields.get("docker-content-digest")).toBe(
    digest!,
  );
  daemon.docker("rmi", name, daemon.image);
  expect(daemon.docker("pull", name)).toContain(`Digest: ${digest}`);
  expect(daemon.docker("run", "--rm", name, "echo", "from our registry")).toBe("from our registry");
  expect(daemon.docker("pull", "-q", `${ours}/pushed/by-docker@${digest}`)).toContain(digest!);
  daemon.docker("tag", name, daemon.image);
});

test("a cache of Debian's registry gives the same image to docker, and keeps it", async () => {
  const cache = await startRegistry(daemon, 5006, join(daemon.work, "cache"), "--mirror", `http://${debians}`);
  skopeoCopy(daemon, `oci:${layout("layout")}`, `docker://${debians}/cached:v1`);
  const name = `${cache.address}/cached:v1`;
  daemon.docker("rmi", "-f", daemon.image);
  const digest = (host: string): string | undefined =>
    curl(daemon, "-I", ...acceptOci, `http://${host}/v2/cached/manifests/v1`).fields.get("docker-content-digest");
  expect(daemon.docker("pull", name)).toContain(`Digest: ${digest(debians)}`);
  expect(daemon.docker("run", "--rm", name, "echo", "cached")).toBe("cached");
  expect(daemon.cli("push", name).code).not.toBe(0);
  // docker had the layer; skopeo fetches all.
  skopeoCopy(daemon, `docker://${name}`, `oci:${layout("through-cache")}:v1`);
  cache.process.kill("SIGTERM");
  await cache.process.exited;
  // The same files, and nobody to ask: a port that nothing listens on.
  const alone = await startRegistry(daemon, 5006, join(daemon.work, "cache"), "--mirror", "http://127.0.0.1:1");
  skopeoCopy(daemon, `docker://${alone.address}/cached:v1`, `oci:${layout("from-cache")}:v1`);
  expect(blobsOf("from-cache")).toEqual(blobsOf("layout"));
  alone.process.kill("SIGTERM");
  await alone.process.exited;
  daemon.loadImage();
});

/** What both registries answer: the status, the error's code, and the fields that clients use. */
function answer(host: string, args: readonly string[], path: string): unknown {
  const { status, fields, body } = curl(daemon, ...acceptOci, ...args, `http://${host}${path}`);
  const code = body.startsWith('{"errors"')
    ? (JSON.parse(body) as { errors: { code: string }[] }).errors[0]?.code
    : undefined;
  const field = (name: string): string | undefined => fields.get(name)?.replaceAll(host, "");
  return {
    status,
    code,
    digest: field("docker-content-digest"),
    type: body === "" ? field("content-type")?.replace("; charset=utf-8", "") : undefined,
    range: field("content-range"),
    link: field("link"),
  };
}

const absent = sha256Digest("absent");
test.each([
  [[], "/v2/"],
  [[], `/v2/team/app/blobs/${absent}`],
  [["-I"], `/v2/team/app/blobs/${absent}`],
  [[], "/v2/team/app/manifests/none"],
  [[], "/v2/none/manifests/v1"],
  [["-I"], "/v2/team/app/manifests/v1"],
  [[], "/v2/none/tags/list"],
  [
    ["-X", "PUT", "-d", "{", "-H", "Content-Type: application/vnd.oci.image.manifest.v1+json"],
    "/v2/team/app/manifests/bad",
  ],
])("Debian's registry gives the same answer to %j %s", (args, path) => {
  expect(answer(ours, args, path)).toEqual(answer(debians, args, path));
});
