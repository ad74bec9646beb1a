import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { EngineError } from "@fathom/base";
import { parseDiffId, parseReference, sha256Digest, type Descriptor } from "@fathom/spec";
import { createContentWriter } from "@fathom/store";
import { runLayerJob, type LayerJob, type LayerJobResult } from "./layer-job.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "fathom-layer-job-"));
  mkdirSync(join(root, "content", "tmp"), { recursive: true });
  mkdirSync(join(root, "content", "sha256"));
});
afterEach(() => rmSync(root, { recursive: true }));

const real = parseDiffId(sha256Digest(Buffer.from("the tar")));

function run(
  data: Uint8Array,
  diffId: LayerJob["diffId"],
  digest = sha256Digest(data),
  directory: "unpacked" | "not wanted" = "unpacked",
  write: (chunk: Uint8Array) => void = () => undefined,
): Promise<LayerJobResult> {
  const descriptor: Descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: data.length };
  const blob = { reference: parseReference("app"), config: {}, credentials: undefined, session: undefined };
  return runLayerJob(
    {
      storeRoot: root,
      source: { kind: "registry", blob: blob as never },
      descriptor,
      diffId,
      diffPath: directory === "unpacked" ? root : undefined,
    },
    {
      async *open() {
        yield data;
      },
      writer: createContentWriter,
      unpacker: () => ({ write, finish: () => ({ diffId: real, size: 7, entries: 1, implied: [] }), abort() {} }),
    },
    () => undefined,
    new AbortController().signal,
  );
}

const stored = (): string[] => [
  ...readdirSync(join(root, "content", "sha256")),
  ...readdirSync(join(root, "content", "tmp")),
];

test("a layer that matches the config is stored under its digest", async () => {
  const data = Buffer.from("blob bytes");
  expect((await run(data, real)).blob?.digest).toBe(sha256Digest(data));
  expect(stored()).toEqual([sha256Digest(data).slice("sha256:".length)]);
});

test("a layer with another DiffID than in the config leaves nothing", async () => {
  const lie = parseDiffId(sha256Digest(Buffer.from("another tar")));
  const error = await run(Buffer.from("blob bytes"), lie).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "data-loss" });
  expect(String(error)).toContain(`unpacks to ${real}`);
  expect(stored()).toEqual([]);
});

test("a wrong digest is reported before a wrong DiffID", async () => {
  const lie = parseDiffId(sha256Digest(Buffer.from("another tar")));
  const wrong = sha256Digest(Buffer.from("other bytes"));
  expect(String(await run(Buffer.from("blob bytes"), lie, wrong).catch((reason: unknown) => reason))).toContain(
    "has the digest",
  );
  expect(stored()).toEqual([]);
});

test("the error for a broken stream has the layer's digest", async () => {
  const data = gzipSync("x".repeat(1000)).fill(0xff, 12, 20);
  expect(String(await run(data, real).catch((reason: unknown) => reason))).toContain(sha256Digest(data));
  expect(stored()).toEqual([]);
});

test("the error for a bad entry has the layer's digest in front, also when the entry's name has it", async () => {
  const data = Buffer.from("blob bytes");
  const digest = sha256Digest(data);
  const broken = run(data, real, digest, "unpacked", () => {
    throw new EngineError("invalid-argument", `entry "${digest}" is bad`);
  });
  await expect(broken).rejects.toThrow(`layer ${digest}: entry "${digest}" is bad`);
  expect(stored()).toEqual([]);
});

test("when only the blob is needed, for a layer whose directory exists, it must match too", async () => {
  const tar = Buffer.from("a tar of 512 bytes or so");
  const packed = gzipSync(tar);
  const digest = sha256Digest(packed);
  const result = await run(packed, parseDiffId(sha256Digest(tar)), digest, "not wanted");
  expect(result).toEqual({ size: 0, implied: [], blob: { digest, size: packed.length } });
  rmSync(join(root, "content", "sha256", digest.slice("sha256:".length)));
  const error = await run(packed, real, digest, "not wanted").catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "data-loss" });
  expect(stored()).toEqual([]);
});
