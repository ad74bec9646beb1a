/** What the distribution-spec asks of a registry for manifests: "Pushing Manifests", "Listing Referrers", "Content Management". */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { maxManifestBytes, mediaTypes, sha256Digest, type Digest } from "@fathom/spec";
import { startTestRegistry, type TestRegistry } from "../testing/test-registry.ts";

let registry: TestRegistry;
let config: Digest;
let layer: Digest;

type Json = Record<string, unknown>;
const part = (mediaType: string, digest: Digest, size: number, more: Json = {}): Json => ({
  mediaType,
  digest,
  size,
  ...more,
});
const image = (more: Json = {}): Json => ({
  schemaVersion: 2,
  mediaType: mediaTypes.ociManifest,
  config: part(mediaTypes.ociConfig, config, 2),
  layers: [part(mediaTypes.ociLayerGzip, layer, 5)],
  ...more,
});
const digestOf = (value: Json): Digest => sha256Digest(JSON.stringify(value));

beforeAll(async () => {
  registry = await startTestRegistry({
    policies: { isImmutable: (repository, tag) => repository === "r" && tag.startsWith("fixed") },
  });
  config = await registry.pushBlob("r", "{}");
  layer = await registry.pushBlob("r", "layer");
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
});

async function code(response: Response): Promise<unknown> {
  const body = (await response.json()) as { errors: { code: string }[] };
  return [response.status, body.errors[0]!.code];
}

describe("push (end-7)", () => {
  test("by tag: 201 with Location and digest; the exact bytes are kept", async () => {
    const text = `  ${JSON.stringify(image(), null, 3)}\n`;
    const response = await registry.fetch("PUT", "/v2/r/manifests/spaces", {
      body: text,
      headers: { "Content-Type": `${mediaTypes.ociManifest}; charset=utf-8` },
    });
    expect(response.status).toBe(201);
    expect(response.headers.get("docker-content-digest")).toBe(sha256Digest(text));
    expect(response.headers.get("location")).toBe(`/v2/r/manifests/${sha256Digest(text)}`);
    expect(response.headers.get("oci-subject")).toBeNull();
    expect(await (await registry.fetch("GET", "/v2/r/manifests/spaces")).text()).toBe(text);
  });
  test("by digest; with several tags", async () => {
    const value = image({ annotations: { n: "1" } });
    const response = await registry.pushManifest("r", `${digestOf(value)}?tag=one&tag=two`, value);
    expect(response.status).toBe(201);
    expect(response.headers.get("oci-tag")).toBe("one, two");
    for (const tag of ["one", "two"])
      expect((await registry.fetch("HEAD", `/v2/r/manifests/${tag}`)).headers.get("docker-content-digest")).toBe(
        digestOf(value),
      );
  });
  test("by another digest: 400 DIGEST_INVALID", async () => {
    expect(await code(await registry.pushManifest("r", sha256Digest("x"), image()))).toEqual([400, "DIGEST_INVALID"]);
  });
  test("a manifest without layers, and one of Docker's", async () => {
    expect((await registry.pushManifest("r", "bare", image({ layers: [] }))).status).toBe(201);
    const docker = image({ mediaType: mediaTypes.dockerManifest, config: part(mediaTypes.dockerConfig, config, 2) });
    expect((await registry.pushManifest("r", "docker", docker, mediaTypes.dockerManifest)).status).toBe(201);
    const response = await registry.fetch("GET", "/v2/r/manifests/docker");
    expect(response.headers.get("content-type")).toBe(mediaTypes.dockerManifest);
  });
  test("an index of manifests of the repository, and Docker's list", async () => {
    const value = image({ annotations: { of: "index" } });
    await registry.pushManifest("r", digestOf(value), value);
    const entry = part(mediaTypes.ociManifest, digestOf(value), JSON.stringify(value).length);
    for (const mediaType of [mediaTypes.ociIndex, mediaTypes.dockerList]) {
      const index = { schemaVersion: 2, mediaType, manifests: [entry] };
      expect((await registry.pushManifest("r", "index", index, mediaType)).status).toBe(201);
    }
    const missing = { schemaVersion: 2, manifests: [part(mediaTypes.ociManifest, sha256Digest("none"), 1)] };
    expect(await code(await registry.pushManifest("r", "index", missing, mediaTypes.ociIndex))).toEqual([
      404,
      "MANIFEST_BLOB_UNKNOWN",
    ]);
  });
  test("missing blobs are 404 MANIFEST_BLOB_UNKNOWN, and the tag stays as it was", async () => {
    await registry.pushManifest("r", "stays", image());
    const bad = image({ layers: [part(mediaTypes.ociLayerGzip, sha256Digest("none"), 1)] });
    expect(await code(await registry.pushManifest("r", "stays", bad))).toEqual([404, "MANIFEST_BLOB_UNKNOWN"]);
    expect(await code(await registry.pushManifest("elsewhere", "v1", image()))).toEqual([404, "MANIFEST_BLOB_UNKNOWN"]);
    const head = await registry.fetch("HEAD", "/v2/r/manifests/stays");
    expect(head.headers.get("docker-content-digest")).toBe(digestOf(image()));
  });
  test("a foreign layer with a URL need not be there; without one, or of an ordinary type, it must", async () => {
    const foreign = (mediaType: string, urls: unknown): Json =>
      image({ layers: [part(mediaType, sha256Digest("far away"), 9, { urls })] });
    const type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    expect((await registry.pushManifest("r", "foreign", foreign(type, ["https://example.org/l"]))).status).toBe(201);
    for (const value of [
      foreign(type, []),
      foreign(type, ["file:///etc/passwd"]),
      foreign(mediaTypes.ociLayerGzip, ["https://example.org/l"]),
    ])
      expect((await registry.pushManifest("r", "foreign", value)).status).toBe(404);
  });
  test("another size than the blob's is 400 SIZE_INVALID", async () => {
    const value = image({ layers: [part(mediaTypes.ociLayerGzip, layer, 6)] });
    expect(await code(await registry.pushManifest("r", "size", value))).toEqual([400, "SIZE_INVALID"]);
  });
  const hostile: readonly (readonly [string, unknown])[] = [
    ["no JSON", "{"],
    ["an array", []],
    ["null", null],
    ["schema 1", { schemaVersion: 1, fsLayers: [] }],
    ["both kinds", { ...image, schemaVersion: 2, manifests: [], layers: [], config: {} }],
    ["another type inside", { schemaVersion: 2, mediaType: mediaTypes.ociIndex, layers: [] }],
    [
      "a path as a digest",
      { schemaVersion: 2, config: { mediaType: "x", digest: "sha256:../../x", size: 1 }, layers: [] },
    ],
    [
      "a negative size",
      { schemaVersion: 2, config: { mediaType: "x", digest: sha256Digest(""), size: -1 }, layers: [] },
    ],
    [
      "layers that are no list",
      { schemaVersion: 2, config: { mediaType: "x", digest: sha256Digest(""), size: 0 }, layers: 1 },
    ],
    ["no layers", { schemaVersion: 2, config: { mediaType: "x", digest: sha256Digest(""), size: 0 } }],
    ["deep nesting", `${"[".repeat(100_000)}`],
    ["a number for an annotation", { schemaVersion: 2, annotations: { a: 1 }, layers: [] }],
  ];
  test.each(hostile)("hostile: %s is 400 MANIFEST_INVALID", async (_, value) => {
    const body = typeof value === "string" ? value : JSON.stringify(value);
    const init = { body, headers: { "Content-Type": mediaTypes.ociManifest } };
    expect(await code(await registry.fetch("PUT", "/v2/r/manifests/hostile", init))).toEqual([400, "MANIFEST_INVALID"]);
    expect((await registry.fetch("HEAD", "/v2/r/manifests/hostile")).status).toBe(404);
  });
  test("too many entries are rejected", async () => {
    const layers = Array.from({ length: 10_001 }, () => part("x", layer, 5));
    expect(await code(await registry.pushManifest("r", "many", image({ layers })))).toEqual([400, "MANIFEST_INVALID"]);
  });
  test("an unknown media type is 400; none at all too", async () => {
    const { mediaType: _, ...bare } = image();
    for (const type of ["application/x-strange", "", mediaTypes.dockerSchema1])
      expect(await code(await registry.pushManifest("r", "type", bare, type))).toEqual([400, "MANIFEST_INVALID"]);
  });
  test("4 MiB are accepted and more is 413, with a length and without", async () => {
    const fill = maxManifestBytes - JSON.stringify(image({ annotations: { a: "" } })).length;
    const largest = image({ annotations: { a: "x".repeat(fill) } });
    expect((await registry.pushManifest("r", "largest", largest)).status).toBe(201);
    const body = JSON.stringify(image({ annotations: { a: "x".repeat(fill + 1) } }));
    const headers = { "Content-Type": mediaTypes.ociManifest };
    expect((await registry.fetch("PUT", "/v2/r/manifests/larger", { body, headers })).status).toBe(413);
    const stream = new Blob([body]).stream();
    expect((await registry.fetch("PUT", "/v2/r/manifests/larger", { body: stream, headers })).status).toBe(413);
  });
  test("a tag that the grammar forbids is 400 TAG_INVALID", async () => {
    for (const tag of [".a", "-a", "a%20b", "x".repeat(129), "a?tag=%2e"])
      expect(await code(await registry.pushManifest("r", tag, image()))).toEqual([400, "TAG_INVALID"]);
  });
});

describe("subject and referrers (end-12)", () => {
  const subject = sha256Digest("a subject that nobody pushed");
  const referrer = (artifactType: string | undefined, n: string): Json =>
    image({
      ...(artifactType === undefined ? {} : { artifactType }),
      subject: part(mediaTypes.ociManifest, subject, 10),
      annotations: { n },
    });
  const list = async (query = "", of: string = subject): Promise<{ response: Response; index: Json }> => {
    const response = await registry.fetch("GET", `/v2/r/referrers/${of}${query}`);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe(mediaTypes.ociIndex);
    return { response, index: (await response.json()) as Json };
  };
  test("nobody refers to it: an empty index, not 404", async () => {
    const { index } = await list("", sha256Digest("lonely"));
    expect(index).toEqual({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] });
    expect((await registry.fetch("GET", "/v2/r/referrers/x")).status).toBe(400);
  });
  test("pushes answer OCI-Subject, and the list has type, size, artifact type and annotations", async () => {
    const sbom = referrer("application/sbom", "1");
    const plain = referrer(undefined, "2");
    for (const value of [sbom, plain]) {
      const response = await registry.pushManifest("r", digestOf(value), value);
      expect(response.status).toBe(201);
      expect(response.headers.get("oci-subject")).toBe(subject);
    }
    const entry = (value: Json, artifactType: string): Json => ({
      mediaType: mediaTypes.ociManifest,
      digest: digestOf(value),
      size: JSON.stringify(value).length,
      artifactType,
      annotations: value["annotations"],
    });
    const expected = [entry(sbom, "application/sbom"), entry(plain, mediaTypes.ociConfig)];
    const { response, index } = await list();
    expect(response.headers.get("oci-filters-applied")).toBeNull();
    expect(index["manifests"]).toEqual(
      expected.toSorted((a, b) => (String(a["digest"]) < String(b["digest"]) ? -1 : 1)),
    );
    const filtered = await list("?artifactType=application%2Fsbom");
    expect(filtered.response.headers.get("oci-filters-applied")).toBe("artifactType");
    expect(filtered.index["manifests"]).toEqual([expected[0]!]);
  });
  test("an index can refer to a subject; a deleted referrer is gone from the list", async () => {
    const other = sha256Digest("other subject");
    const index = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      artifactType: "a/b",
      manifests: [],
      subject: part(mediaTypes.ociManifest, other, 1),
    };
    await registry.pushManifest("r", digestOf(index), index, mediaTypes.ociIndex);
    expect((await list("", other)).index["manifests"]).toMatchObject([
      { artifactType: "a/b", digest: digestOf(index) },
    ]);
    await registry.fetch("DELETE", `/v2/r/manifests/${digestOf(index)}`);
    expect((await list("", other)).index["manifests"]).toEqual([]);
  });
  test("a list larger than a manifest comes in pages", async () => {
    const large = sha256Digest("large");
    const pushed = [];
    for (const n of ["1", "2", "3"]) {
      const value = image({ subject: part(mediaTypes.ociManifest, large, 1), annotations: { n: n.repeat(1_600_000) } });
      pushed.push(digestOf(value));
      expect((await registry.pushManifest("r", digestOf(value), value)).status).toBe(201);
    }
    const found: unknown[] = [];
    let pages = 0;
    for (let next: string | undefined = `/v2/r/referrers/${large}`; next !== undefined; pages++) {
      const response = await registry.fetch("GET", next);
      found.push(...((await response.json()) as { manifests: Json[] }).manifests.map(({ digest }) => digest));
      next = /<([^>]+)>/.exec(response.headers.get("link") ?? "")?.[1];
    }
    expect(pages).toBe(2);
    expect(found).toEqual(pushed.toSorted());
  });
});

describe("delete (end-9)", () => {
  test("a tag goes alone, a digest with all its tags", async () => {
    const value = image({ annotations: { delete: "me" } });
    for (const tag of ["d1", "d2"]) await registry.pushManifest("r", tag, value);
    expect((await registry.fetch("DELETE", "/v2/r/manifests/d1")).status).toBe(202);
    expect(await code(await registry.fetch("DELETE", "/v2/r/manifests/d1"))).toEqual([404, "MANIFEST_UNKNOWN"]);
    expect((await registry.fetch("GET", "/v2/r/manifests/d2")).status).toBe(200);
    expect((await registry.fetch("DELETE", `/v2/r/manifests/${digestOf(value)}`)).status).toBe(202);
    expect((await registry.fetch("GET", "/v2/r/manifests/d2")).status).toBe(404);
    expect(await code(await registry.fetch("DELETE", `/v2/r/manifests/${digestOf(value)}`))).toEqual([
      404,
      "MANIFEST_UNKNOWN",
    ]);
  });
});

describe("immutable tags", () => {
  test("the first manifest stays: another push and every removal is 403 DENIED", async () => {
    const value = image({ annotations: { tested: "yes" } });
    expect((await registry.pushManifest("r", "fixed-1", value)).status).toBe(201);
    expect((await registry.pushManifest("r", "fixed-1", value)).status).toBe(201);
    const other = image({ annotations: { tested: "no" } });
    const answers = [
      await registry.pushManifest("r", "fixed-1", other),
      await registry.pushManifest("r", `${digestOf(other)}?tag=fixed-1`, other),
      await registry.fetch("DELETE", "/v2/r/manifests/fixed-1"),
      await registry.fetch("DELETE", `/v2/r/manifests/${digestOf(value)}`),
    ];
    for (const response of answers) expect(await code(response)).toEqual([403, "DENIED"]);
    const head = await registry.fetch("HEAD", "/v2/r/manifests/fixed-1");
    expect(head.headers.get("docker-content-digest")).toBe(digestOf(value));
  });
});
