import { describe, expect, test } from "bun:test";
import { parseImageConfig } from "./image-config.ts";
import { imageEntries, maxManifestBytes, parseManifest } from "./manifest.ts";
import { mediaTypes } from "./media-types.ts";

const digest = `sha256:${"0".repeat(64)}`;
const config = { mediaType: mediaTypes.ociConfig, digest, size: 2 };
const layer = { mediaType: mediaTypes.ociLayerGzip, digest, size: 3 };
const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] };

function bytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
}

describe("parseManifest", () => {
  test("reads a manifest; the type comes from the manifest or from the header", () => {
    expect(parseManifest(bytes(manifest), undefined)).toEqual({
      kind: "manifest",
      mediaType: mediaTypes.ociManifest,
      manifest,
    } as never);
    const { mediaType: _, ...bare } = manifest;
    expect(parseManifest(bytes(bare), `${mediaTypes.dockerManifest}; charset=utf-8`).mediaType).toBe(
      mediaTypes.dockerManifest,
    );
    expect(parseManifest(bytes(bare), "text/plain").mediaType).toBe(mediaTypes.ociManifest);
  });

  test("reads an index and drops attestations and unknown platforms", () => {
    const entry = {
      mediaType: mediaTypes.ociManifest,
      digest,
      size: 1,
      platform: { os: "linux", architecture: "amd64" },
    };
    const index = {
      schemaVersion: 2,
      manifests: [
        entry,
        { ...entry, platform: { os: "unknown", architecture: "unknown" } },
        { ...entry, annotations: { "vnd.docker.reference.type": "attestation-manifest" } },
        { ...entry, mediaType: "application/x-something" },
      ],
    };
    const parsed = parseManifest(bytes(index), mediaTypes.ociIndex);
    if (parsed.kind !== "index") throw new Error("no index");
    expect(parsed.index.manifests).toHaveLength(4);
    expect(imageEntries(parsed.index)).toEqual([entry] as never);
  });

  const refused: readonly (readonly [string, unknown, string | undefined, string])[] = [
    ["schema 1", { schemaVersion: 1, name: "x", fsLayers: [] }, undefined, "schema 1"],
    ["schema 1 by header", { schemaVersion: 2 }, mediaTypes.dockerSchema1Signed, "schema 1"],
    ["an unknown type", { ...manifest, mediaType: "application/x-strange" }, undefined, '"application/x-strange"'],
    ["two types", manifest, mediaTypes.ociIndex, "ambiguous"],
    ["index and manifest at once", { ...manifest, manifests: [] }, undefined, "ambiguous"],
    ["no JSON", "{", undefined, "not valid JSON"],
    ["an array", [], undefined, "manifest: the document: expected an object, got an array"],
    [
      "a negative size",
      { ...manifest, layers: [{ ...layer, size: -1 }] },
      undefined,
      "manifest: layers[0].size: -1 is not between 0 and 9007199254740991",
    ],
    ["a bad digest", { ...manifest, layers: [{ ...layer, digest: "sha256:../x" }] }, undefined, "invalid digest"],
    ["a strange layer", { ...manifest, layers: [{ ...layer, mediaType: "x/y" }] }, undefined, 'layer media type "x/y"'],
    ["an artifact", { ...manifest, config: { ...config, mediaType: "x/y" } }, undefined, 'config media type "x/y"'],
    ["too many layers", { ...manifest, layers: Array.from({ length: 501 }, () => layer) }, undefined, "limit of 500"],
    ["no config", { ...manifest, config: undefined }, undefined, "manifest: config: expected an object, got nothing"],
    ["no layers", { ...manifest, layers: null }, undefined, "manifest: layers: expected an array, got null"],
    [
      "no size",
      { ...manifest, config: { ...config, size: undefined } },
      undefined,
      "config.size: expected a whole number",
    ],
    [
      "a size that is a text",
      { ...manifest, layers: [{ ...layer, size: "3" }] },
      undefined,
      "layers[0].size: expected",
    ],
    [
      "a digest that is a number",
      { ...manifest, config: { ...config, digest: 1 } },
      undefined,
      "config.digest: expected a",
    ],
    ["annotations of numbers", { ...manifest, annotations: { a: 1 } }, undefined, "annotations.a: expected a string"],
    [
      "urls that are no list",
      { ...manifest, layers: [{ ...layer, urls: "u" }] },
      undefined,
      "layers[0].urls: expected an",
    ],
    ["a type that is a number", { ...manifest, mediaType: 1 }, undefined, "manifest: mediaType: expected a string"],
    [
      "no manifests",
      { schemaVersion: 2, manifests: null },
      mediaTypes.ociIndex,
      "manifest: manifests: expected an array",
    ],
    [
      "a platform that is a text",
      { schemaVersion: 2, manifests: [{ ...config, platform: "linux" }] },
      undefined,
      "manifests[0].platform: expected an object",
    ],
    ["another schemaVersion", { ...manifest, schemaVersion: 3 }, undefined, "schemaVersion 3"],
  ];
  for (const [name, body, header, message] of refused)
    test(`refuses ${name}`, () => {
      expect(() => parseManifest(bytes(body), header)).toThrow(message);
    });
  test("takes a manifest without a schemaVersion, as Docker does", () => {
    const { schemaVersion: _, ...without } = manifest;
    expect(parseManifest(bytes(without), mediaTypes.ociManifest)).toEqual(parseManifest(bytes(manifest), undefined));
  });
  test("refuses more than 4 MiB", () => {
    expect(() => parseManifest(new Uint8Array(maxManifestBytes + 1), undefined)).toThrow("more than the limit");
  });
});

test("null in a manifest is the same as absent, and an empty variant is the same as no variant", () => {
  const entry = { ...config, urls: null, annotations: null, platform: { os: null, variant: "" }, artifactType: null };
  const index = { schemaVersion: 2, mediaType: null, manifests: [entry], annotations: null, unknown: 1 };
  expect(parseManifest(bytes(index), undefined) as unknown).toEqual({
    kind: "index",
    mediaType: mediaTypes.ociIndex,
    index: {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [{ ...config, platform: { os: "", architecture: "" } }],
    },
  });
});

describe("parseImageConfig", () => {
  test("a health check may wait longer than a double counts nanoseconds", () => {
    const parsed = parseImageConfig(
      bytes('{"rootfs":{"diff_ids":null},"config":{"Healthcheck":{"Interval":9223372036854775807}}}'),
    );
    expect(parsed.config?.Healthcheck?.Interval).toBe(2 ** 63);
    expect(parsed.rootfs).toEqual({ type: "layers", diff_ids: [] });
  });
  test("reads Go's nulls as absent", () => {
    const parsed = parseImageConfig(
      bytes({
        architecture: "amd64",
        os: "linux",
        config: { Cmd: null, Entrypoint: ["a"], Volumes: { "/v": {} }, Labels: null, ExposedPorts: { "80/tcp": {} } },
        rootfs: { type: "layers", diff_ids: [digest] },
        history: [{ created_by: "x", empty_layer: true }],
      }),
    );
    expect(parsed).toEqual({
      architecture: "amd64",
      os: "linux",
      config: { Entrypoint: ["a"], Volumes: { "/v": {} }, ExposedPorts: { "80/tcp": {} } },
      rootfs: { type: "layers", diff_ids: [digest] },
      history: [{ created_by: "x", empty_layer: true }],
    } as never);
  });
  for (const [body, message] of [
    [{ architecture: "amd64", os: "linux" }, "no rootfs"],
    [{ rootfs: { type: "layers", diff_ids: ["x"] } }, "invalid digest"],
    [{ rootfs: { type: "zip", diff_ids: [] } }, "rootfs.type"],
    [{ rootfs: { type: null, diff_ids: [] } }, "rootfs.type: expected"],
    [{ rootfs: { diff_ids: Array.from({ length: 501 }, () => digest) } }, "rootfs.diff_ids: has 501 entries"],
    [{ rootfs: {}, os: 1 }, "os: expected a string"],
    [{ rootfs: {}, config: { Volumes: ["/v"] } }, "config.Volumes: expected an object"],
    [{ rootfs: {}, config: { Labels: { a: null } } }, "config.Labels.a: expected a string, got null"],
    [{ rootfs: {}, config: { ArgsEscaped: "yes" } }, "config.ArgsEscaped: expected true or false"],
    [{ rootfs: {}, config: { Healthcheck: { Interval: 1.5 } } }, "Healthcheck.Interval: 1.5 is not a whole number"],
    [{ rootfs: {}, history: [{ empty_layer: 1 }] }, "history[0].empty_layer: expected true or false"],
    [[], "image config: the document: expected an object"],
    [
      { rootfs: { diff_ids: [] }, config: { Env: [1] } },
      "image config: config.Env[0]: expected a string, got a number",
    ],
  ] as const)
    test(`refuses ${message}`, () => {
      expect(() => parseImageConfig(bytes(body))).toThrow(message);
    });
});
