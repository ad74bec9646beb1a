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
  test("reads a manifest, by its own type or by the header", () => {
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
    ["an array", [], undefined, "manifest is not an object"],
    ["a negative size", { ...manifest, layers: [{ ...layer, size: -1 }] }, undefined, "layers[0].size is not a size"],
    ["a bad digest", { ...manifest, layers: [{ ...layer, digest: "sha256:../x" }] }, undefined, "invalid digest"],
    ["a strange layer", { ...manifest, layers: [{ ...layer, mediaType: "x/y" }] }, undefined, 'layer media type "x/y"'],
    ["an artifact", { ...manifest, config: { ...config, mediaType: "x/y" } }, undefined, 'config media type "x/y"'],
    ["too many layers", { ...manifest, layers: Array.from({ length: 501 }, () => layer) }, undefined, "limit of 500"],
    ["no schemaVersion", { ...manifest, schemaVersion: 3 }, undefined, "schemaVersion 3"],
  ];
  for (const [name, body, header, message] of refused)
    test(`refuses ${name}`, () => {
      expect(() => parseManifest(bytes(body), header)).toThrow(message);
    });
  test("refuses more than 4 MiB", () => {
    expect(() => parseManifest(new Uint8Array(maxManifestBytes + 1), undefined)).toThrow("more than the limit");
  });
});

describe("parseImageConfig", () => {
  test("takes Go's nulls as absent", () => {
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
    [{ rootfs: { diff_ids: [] }, config: { Env: [1] } }, "config.Env[0] is not a string"],
  ] as const)
    test(`refuses ${message}`, () => {
      expect(() => parseImageConfig(bytes(body))).toThrow(message);
    });
});
