/** What the distribution-spec asks of a registry for pulls: section "Pull", and the lists of "Content Discovery". */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mediaTypes, sha256Digest, type Digest } from "@fathom/spec";
import { startTestRegistry, type TestRegistry } from "../testing/test-registry.ts";

let registry: TestRegistry;
let config: Digest;
let layer: Digest;
const layerText = "0123456789";
let manifest: object;
let manifestDigest: string;

const descriptor = (mediaType: string, digest: Digest, size: number): object => ({ mediaType, digest, size });

beforeAll(async () => {
  registry = await startTestRegistry();
  config = await registry.pushBlob("a/image", "{}");
  layer = await registry.pushBlob("a/image", layerText);
  manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptor(mediaTypes.ociConfig, config, 2),
    layers: [descriptor(mediaTypes.ociLayer, layer, layerText.length)],
  };
  manifestDigest = sha256Digest(JSON.stringify(manifest));
  expect((await registry.pushManifest("a/image", "v1", manifest)).status).toBe(201);
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
});

async function code(response: Response): Promise<unknown> {
  const body = (await response.json()) as { errors: { code: string; message: string }[] };
  expect(body.errors).toHaveLength(1);
  expect(body.errors[0]!.message).not.toBe("");
  return [response.status, body.errors[0]!.code];
}

describe("end-1", () => {
  test("GET /v2/ is answered with 200", async () => {
    for (const path of ["/v2/", "/v2"]) {
      const response = await registry.fetch("GET", path);
      expect(response.status).toBe(200);
      expect(response.headers.get("docker-distribution-api-version")).toBe("registry/2.0");
    }
  });
});

describe("end-2: blobs", () => {
  test("GET gives exactly the bytes, with digest, length and ETag", async () => {
    const response = await registry.fetch("GET", `/v2/a/image/blobs/${layer}`);
    expect(response.status).toBe(200);
    expect(response.headers.get("docker-content-digest")).toBe(layer);
    expect(response.headers.get("content-length")).toBe("10");
    expect(response.headers.get("etag")).toBe(`"${layer}"`);
    expect(await response.text()).toBe(layerText);
  });
  test("HEAD gives the same head without a body", async () => {
    const response = await registry.fetch("HEAD", `/v2/a/image/blobs/${layer}`);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-length")).toBe("10");
    expect(response.headers.get("docker-content-digest")).toBe(layer);
    expect(await response.text()).toBe("");
  });
  test("an absent blob is 404 BLOB_UNKNOWN; HEAD has the status alone", async () => {
    const path = `/v2/a/image/blobs/${sha256Digest("absent")}`;
    expect(await code(await registry.fetch("GET", path))).toEqual([404, "BLOB_UNKNOWN"]);
    expect((await registry.fetch("HEAD", path)).status).toBe(404);
  });
  test("a blob of another repository is absent", async () => {
    expect((await registry.fetch("GET", `/v2/other/blobs/${layer}`)).status).toBe(404);
  });
  test("a malformed digest is 400 DIGEST_INVALID", async () => {
    for (const digest of ["sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "x", `sha256:${"A".repeat(64)}`])
      expect(await code(await registry.fetch("GET", `/v2/a/image/blobs/${digest}`))).toEqual([400, "DIGEST_INVALID"]);
  });
  test("a client that has it gets 304", async () => {
    for (const known of [`"${layer}"`, `"x", W/"${layer}"`, "*"]) {
      const response = await registry.fetch("GET", `/v2/a/image/blobs/${layer}`, {
        headers: { "If-None-Match": known },
      });
      expect(response.status).toBe(304);
    }
    const other = await registry.fetch("GET", `/v2/a/image/blobs/${layer}`, { headers: { "If-None-Match": '"y"' } });
    expect(other.status).toBe(200);
  });
  test.each([
    ["bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["bytes=7-", 206, "789", "bytes 7-9/10"],
    ["bytes=-2", 206, "89", "bytes 8-9/10"],
    ["bytes=0-100", 206, layerText, "bytes 0-9/10"],
    ["bytes=0-1,3-4", 200, layerText, null],
    ["bytes=4-2", 200, layerText, null],
    ["lines=1-2", 200, layerText, null],
  ])("Range %s is %i", async (range, status, text, field) => {
    const response = await registry.fetch("GET", `/v2/a/image/blobs/${layer}`, { headers: { Range: range } });
    expect(response.status).toBe(status);
    expect(response.headers.get("content-range")).toBe(field);
    expect(await response.text()).toBe(text);
  });
  test("a range outside of the blob is 416 with its size", async () => {
    const response = await registry.fetch("GET", `/v2/a/image/blobs/${layer}`, { headers: { Range: "bytes=10-" } });
    expect(response.status).toBe(416);
    expect(response.headers.get("content-range")).toBe("bytes */10");
  });
});

describe("end-3: manifests", () => {
  test.each(["v1", "digest"])("GET by %s gives the pushed bytes and their type", async (by) => {
    const response = await registry.fetch("GET", `/v2/a/image/manifests/${by === "v1" ? by : manifestDigest}`);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe(mediaTypes.ociManifest);
    expect(response.headers.get("docker-content-digest")).toBe(manifestDigest);
    expect(await response.text()).toBe(JSON.stringify(manifest));
  });
  test("HEAD gives digest, type and length", async () => {
    const response = await registry.fetch("HEAD", "/v2/a/image/manifests/v1");
    expect(response.headers.get("docker-content-digest")).toBe(manifestDigest);
    expect(response.headers.get("content-length")).toBe(String(JSON.stringify(manifest).length));
    expect(await response.text()).toBe("");
  });
  test("a client that has it gets 304", async () => {
    const headers = { "If-None-Match": `"${manifestDigest}"` };
    expect((await registry.fetch("GET", "/v2/a/image/manifests/v1", { headers })).status).toBe(304);
  });
  test("an absent one is 404 MANIFEST_UNKNOWN, in an absent repository too", async () => {
    for (const path of [`a/image/manifests/none`, `a/image/manifests/${sha256Digest("x")}`, "none/manifests/v1"])
      expect(await code(await registry.fetch("GET", `/v2/${path}`))).toEqual([404, "MANIFEST_UNKNOWN"]);
  });
  test("a tag or digest that cannot exist is 400", async () => {
    expect(await code(await registry.fetch("GET", "/v2/a/image/manifests/.x"))).toEqual([400, "TAG_INVALID"]);
    expect(await code(await registry.fetch("GET", "/v2/a/image/manifests/sha256:x"))).toEqual([400, "DIGEST_INVALID"]);
  });
});

test("a repository's name that the grammar forbids is 400 NAME_INVALID", async () => {
  for (const name of ["A", "a//b", "-a", "a%2F..%2Fb", "a.", "_a", "a/_links", "x".repeat(256)])
    expect(await code(await registry.fetch("GET", `/v2/${name}/manifests/v1`))).toEqual([400, "NAME_INVALID"]);
});

test("the words of the API may be parts of a name", async () => {
  const digest = await registry.pushBlob("manifests/blobs/uploads", "x");
  expect((await registry.fetch("GET", `/v2/manifests/blobs/uploads/blobs/${digest}`)).status).toBe(200);
});

test("another method is 405 UNSUPPORTED, another path 404", async () => {
  expect(await code(await registry.fetch("POST", "/v2/a/image/tags/list"))).toEqual([405, "UNSUPPORTED"]);
  expect(await code(await registry.fetch("PUT", `/v2/a/image/blobs/${layer}`))).toEqual([405, "UNSUPPORTED"]);
  expect((await registry.fetch("GET", "/v2/a/image/other/x")).status).toBe(404);
});

describe("end-8: tags", () => {
  const tags = ["B", "a", "a1", "b", "c"];
  beforeAll(async () => {
    for (const [name, text] of [["tagged", "{}"]] as const) {
      await registry.pushBlob(name, text);
      await registry.pushBlob(name, layerText);
      for (const tag of tags.toReversed()) await registry.pushManifest(name, tag, manifest);
    }
  });
  const list = async (query: string): Promise<[unknown, string | null]> => {
    const response = await registry.fetch("GET", `/v2/tagged/tags/list${query}`);
    expect(response.status).toBe(200);
    return [await response.json(), response.headers.get("link")];
  };
  test("all tags in lexical order", async () => {
    expect(await list("")).toEqual([{ name: "tagged", tags }, null]);
  });
  test("n limits them, and Link leads to the rest", async () => {
    expect(await list("?n=2")).toEqual([
      { name: "tagged", tags: ["B", "a"] },
      '</v2/tagged/tags/list?n=2&last=a>; rel="next"',
    ]);
    expect(await list("?n=2&last=a")).toEqual([
      { name: "tagged", tags: ["a1", "b"] },
      '</v2/tagged/tags/list?n=2&last=b>; rel="next"',
    ]);
    expect(await list("?n=2&last=b")).toEqual([{ name: "tagged", tags: ["c"] }, null]);
    expect(await list("?n=5")).toEqual([{ name: "tagged", tags }, null]);
  });
  test("n=0 gives no tags; last alone gives those behind it, also when it does not exist", async () => {
    expect(await list("?n=0")).toEqual([{ name: "tagged", tags: [] }, null]);
    expect(await list("?last=aa")).toEqual([{ name: "tagged", tags: ["b", "c"] }, null]);
  });
  test("an absent repository is 404 NAME_UNKNOWN, a wrong n is 400", async () => {
    expect(await code(await registry.fetch("GET", "/v2/none/tags/list"))).toEqual([404, "NAME_UNKNOWN"]);
    for (const n of ["x", "-1", "1e3"])
      expect(await code(await registry.fetch("GET", `/v2/tagged/tags/list?n=${n}`))).toEqual([
        400,
        "PAGINATION_NUMBER_INVALID",
      ]);
  });
});

test("the catalog has all repositories, in pages", async () => {
  const response = await registry.fetch("GET", "/v2/_catalog?n=1");
  expect(await response.json()).toEqual({ repositories: ["a/image"] });
  expect(response.headers.get("link")).toBe('</v2/_catalog?n=1&last=a%2Fimage>; rel="next"');
  const rest = await registry.fetch("GET", "/v2/_catalog?n=100&last=a%2Fimage");
  expect(await rest.json()).toEqual({ repositories: ["manifests/blobs/uploads", "tagged"] });
});
