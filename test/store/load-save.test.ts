/** docker load and save with a real store: what comes back, and that a broken archive leaves nothing. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { silentLogger, systemClock } from "@fathom/base";
import { loadLines } from "@fathom/engine";
import { type ImageContext, findImage, loadImages, saveImages, runBlobJob, runLayerJob } from "@fathom/images";
import { sha256Digest } from "@fathom/spec";
import { createContentWriter, createLayerUnpacker } from "@fathom/store";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { StoreRig, sys, tar, type Entry } from "./support.ts";

let rig: StoreRig;
let context: ImageContext;
beforeEach(async () => {
  rig = await StoreRig.open();
  rig.store.leases.release(rig.lease);
  mkdirSync(join(rig.root, "tmp"));
  context = {
    config: { dataRoot: rig.root, maxConcurrentDownloads: 1, maxConcurrentUploads: 1 },
    store: rig.store,
    sys,
    publish() {},
    uses: { ofImage: () => [] },
    logger: silentLogger,
    clock: systemClock,
    tagTime: () => undefined,
    setTagTime() {},
    runLayer: (job, signal) =>
      runLayerJob(
        job,
        {
          open: () => expect.unreachable(),
          writer: createContentWriter,
          unpacker: (path) => createLayerUnpacker(sys, path),
        },
        () => undefined,
        signal,
      ),
    runCopy: () => expect.unreachable(),
    runBlob: runBlobJob,
    workDirectory: () => {
      const path = mkdtempSync(join(rig.root, "tmp", "work-"));
      return { path, [Symbol.asyncDispose]: async () => rmSync(path, { recursive: true }) };
    },
  };
});
afterEach(() => rig[Symbol.asyncDispose]());

async function load(archive: Uint8Array, step = 5000): Promise<string> {
  async function* body(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < archive.length; at += step) yield archive.subarray(at, at + step);
  }
  let text = "";
  for await (const event of loadImages(context, body(), undefined, new AbortController().signal))
    for (const line of loadLines(event)) text += line.stream ?? "";
  return text;
}

async function save(...names: string[]): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of saveImages(context, names, undefined, new AbortController().signal))
    chunks.push(chunk.slice());
  return Buffer.concat(chunks);
}

interface Part {
  readonly name: string | undefined;
  readonly layers: readonly Uint8Array[];
  readonly diffIds?: readonly string[];
}

/** A docker-archive. */
function dockerArchive(...images: readonly Part[]): Buffer {
  const files: Entry[] = [];
  const manifest = images.map(({ name, layers, diffIds }, image) => {
    const diff_ids = diffIds ?? layers.map((layer) => sha256Digest(layer));
    const config = JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids } });
    files.push({ path: `c${image}.json`, text: config });
    const Layers = layers.map((layer, index) => {
      files.push({ path: `${image}/${index}/layer.tar`, text: Buffer.from(layer).toString("latin1") });
      return `${image}/${index}/layer.tar`;
    });
    return { Config: `c${image}.json`, RepoTags: name === undefined ? null : [name], Layers };
  });
  return tar([...files, { path: "manifest.json", text: JSON.stringify(manifest) }]);
}

// Only ASCII, because the strings are converted to text above.
const low = tar([{ path: "low", text: "low" }]);
const high = tar([{ path: "high", text: "high" }]);

async function expectNothing(): Promise<void> {
  expect(rig.store.images.list()).toEqual([]);
  expect(rig.store.leases.list()).toEqual([]);
  expect(readdirSync(join(rig.root, "tmp"))).toEqual([]);
  await rig.store.collector.collect();
  expect(rig.store.content.list()).toEqual([]);
  expect(rig.store.layers.list()).toEqual([]);
  expect(readdirSync(join(rig.root, "content/sha256"))).toEqual([]);
  expect(readdirSync(join(rig.root, "overlay2")).sort()).toEqual(["l", "trash"]);
}

test.each([
  ["plain", (data: Buffer) => data],
  ["gzip", (data: Buffer) => gzipSync(data)],
])("a docker-archive, %s, with and without a name", async (_, pack) => {
  const archive = dockerArchive({ name: "one:1", layers: [low, high] }, { name: undefined, layers: [low] });
  const text = await load(pack(archive));
  expect(text).toMatch(/^Loaded image: one:1\nLoaded image ID: sha256:[0-9a-f]{64}\n$/);
  expect(rig.store.layers.list()).toHaveLength(2);
  expect(rig.store.images.named("docker.io/library/one:1")).toBeDefined();
  expect(await load(pack(archive))).toBe(text);
  expect(rig.store.images.list()).toHaveLength(2);
});

test.each([
  ["plain", (data: Buffer) => data],
  ["gzip", (data: Buffer) => gzipSync(data)],
])("other work goes on while an archive of many small files is read: %s", async (_, pack) => {
  const archive = pack(tar(Array.from({ length: 3000 }, (_, index) => ({ path: `f${index}`, text: "x" }))));
  let done = false;
  const loaded = load(archive, archive.length)
    .then(() => "loaded", String)
    .finally(() => (done = true));
  let most = 0;
  for (let before = 0; !done;) {
    await new Promise((resolve) => setImmediate(resolve));
    const [work] = readdirSync(join(rig.root, "tmp"));
    if (work === undefined) continue;
    const now = readdirSync(join(rig.root, "tmp", work)).length;
    most = Math.max(most, now - before);
    before = now;
  }
  expect(await loaded).toContain("does not contain a manifest.json");
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThan(300);
});

test("saving and loading gives the same image with the same manifest, and layers are shared", async () => {
  await load(dockerArchive({ name: "one:1", layers: [low, high] }, { name: "two:2", layers: [low] }));
  const before = rig.store.images.list();
  const archive = await save("one:1", "two");
  for (const name of ["docker.io/library/one:1", "docker.io/library/two:2"]) rig.store.images.untag(name);
  for (const { id } of before) rig.store.images.remove(id);
  await expectNothing();
  expect(await load(archive)).toBe("Loaded image: one:1\nLoaded image: two:2\n");
  expect(rig.store.images.list()).toEqual(before.map((image) => ({ ...image, storedAt: expect.any(String) })));
  expect((await save("one:1", "two:2")).equals(archive)).toBe(true);
  await expect(save("none:1")).rejects.toThrow("reference does not exist");
});

test.each<[string, () => Uint8Array, string]>([
  [
    "a second image with a wrong layer",
    () => dockerArchive({ name: "good:1", layers: [low] }, broken()),
    "invalid diffID for layer 1",
  ],
  [
    "a layer that climbs out",
    () => dockerArchive({ name: "x:1", layers: [tar([{ path: "../up", text: "x" }])] }),
    '".." in it',
  ],
  ["a cut archive", () => dockerArchive({ name: "x:1", layers: [low] }).subarray(0, 2500), "unexpected EOF"],
  [
    "a cut gzip stream",
    () => gzipSync(dockerArchive({ name: "x:1", layers: [low] })).subarray(0, 200),
    "unexpected EOF",
  ],
  ["junk", () => Buffer.from("no tar at all"), "unexpected EOF"],
  ["a tar without an image", () => low, "manifest.json"],
  ["a missing layer", () => tar([...manifestOnly("nosuch.tar")]), 'no file "nosuch.tar"'],
  ["a layer outside of the archive", () => tar([...manifestOnly("../../../../etc/passwd")]), "no file"],
  [
    "layers and DiffIDs of different number",
    () => dockerArchive({ name: "x:1", layers: [low], diffIds: [] }),
    "layers length mismatch",
  ],
  ["a manifest that is no JSON", () => tar([{ path: "manifest.json", text: "{" }]), "not JSON"],
])("%s leaves nothing", async (_, archive, message) => {
  await expect(load(archive())).rejects.toThrow(message);
  await load(archive()).catch(() => undefined);
  await expectNothing();
});

/** An OCI layout of one image, its descriptor named by `annotations`. */
function ociLayout(
  annotations: (manifest: string) => Record<string, string>,
  changed: { config?: string; manifestSize?: number; configSize?: number; schemaVersion?: undefined } = {},
): Buffer {
  const config = JSON.stringify({
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: [sha256Digest(low)] },
  });
  const descriptor = (data: Uint8Array | string, mediaType: string) => ({
    mediaType: `application/vnd.oci.image.${mediaType}`,
    digest: sha256Digest(data),
    size: data.length,
  });
  const manifest = JSON.stringify({
    ...("schemaVersion" in changed ? {} : { schemaVersion: 2 }),
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { ...descriptor(config, "config.v1+json"), size: changed.configSize ?? config.length },
    layers: [descriptor(low, "layer.v1.tar")],
  });
  const blob = (data: Uint8Array | string, text = Buffer.from(data).toString("latin1")): Entry => ({
    path: `blobs/${sha256Digest(data).replace(":", "/")}`,
    text,
  });
  const index = {
    schemaVersion: 2,
    manifests: [
      {
        ...descriptor(manifest, "manifest.v1+json"),
        size: changed.manifestSize ?? manifest.length,
        annotations: annotations(sha256Digest(manifest)),
      },
    ],
  };
  return tar([
    blob(low),
    blob(config, changed.config ?? config),
    blob(manifest),
    { path: "index.json", text: JSON.stringify(index) },
    { path: "oci-layout", text: '{"imageLayoutVersion":"1.0.0"}' },
  ]);
}

const other = `sha256:${"b".repeat(64)}`;
const annotationNames = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];

test.each<[string, () => Uint8Array, string]>([
  ...[`one@${other}`, `one:1@${other}`].map((name): [string, () => Uint8Array, string] => [
    `the tag ${name.slice(0, 14)}`,
    () => dockerArchive({ name, layers: [low] }),
    `invalid tag "${name}": refusing to create a tag with a digest reference`,
  ]),
  ...["sha256:1234", "sha256", "docker.io/library/sha256:1234"].map((name): [string, () => Uint8Array, string] => [
    `the tag ${name}`,
    () => dockerArchive({ name, layers: [low] }),
    "refusing to create an ambiguous tag using digest algorithm as name",
  ]),
  [
    "a tag that is no name",
    () => dockerArchive({ name: "Bad Name", layers: [low] }),
    'invalid tag "Bad Name": invalid reference format',
  ],
  ...annotationNames.flatMap((key): [string, () => Uint8Array, string][] => [
    [`${key} with a foreign digest`, () => ociLayout(() => ({ [key]: `one@${other}` })), `has another digest`],
    [`${key} with tag and foreign digest`, () => ociLayout(() => ({ [key]: `one:1@${other}` })), `has another digest`],
    [`${key} sha256:1234`, () => ociLayout(() => ({ [key]: "sha256:1234" })), "refusing to create an ambiguous tag"],
  ]),
  [
    "a manifest with the config of another image",
    () =>
      ociLayout((digest) => ({ "io.containerd.image.name": `one@${digest}` }), { config: '{"architecture":"s390x"}' }),
    "has another content",
  ],
  [
    "a manifest of another size",
    () => ociLayout(() => ({ "io.containerd.image.name": "one:1" }), { manifestSize: 5 }),
    "bytes, not 5 as the archive says",
  ],
  [
    "a config of another size",
    () => ociLayout(() => ({ "io.containerd.image.name": "one:1" }), { configSize: 6 }),
    "bytes, not 6 as the archive says",
  ],
])("an archive cannot choose what a digest or an id means: %s", async (_, archive, message) => {
  await expect(load(archive())).rejects.toThrow(message);
  await expectNothing();
});

test.each(annotationNames)("%s may name an image by its own digest", async (key) => {
  let digest = "";
  const archive = ociLayout((own) => ({ [key]: `one:1@${(digest = own)}` }));
  expect(await load(archive)).toBe(`Loaded image: one@${digest}\n`);
  const [image] = rig.store.images.list();
  expect(findImage(context, `one@${digest}`).id).toBe(image!.id);
  expect(findImage(context, `one:1@${digest}`).id).toBe(image!.id);
  expect(rig.store.images.names()).toMatchObject([
    { name: `docker.io/library/one@${digest}`, images: [image!.id], target: { digest }, content: [] },
  ]);
});

test("a name that looks like the id of an image does not win over the id", async () => {
  await load(dockerArchive({ name: "one:1", layers: [low] }));
  const { id } = findImage(context, "one:1");
  const short = id.slice("sha256:".length, "sha256:".length + 12);
  await load(dockerArchive({ name: short, layers: [high] }, { name: `${id.slice(7)}:latest`, layers: [high] }));
  expect(findImage(context, short).id).toBe(id);
  expect(findImage(context, id.slice(7)).id).toBe(id);
  expect(findImage(context, `${short}:latest`).id).not.toBe(id);
  // Fewer digits than a list shows may also be a word: then the name wins, as in Docker.
  await load(dockerArchive({ name: short.slice(0, 4), layers: [high] }));
  expect(findImage(context, short.slice(0, 4)).id).not.toBe(id);
});

function broken(): Part {
  return { name: "bad:1", layers: [low, high], diffIds: [sha256Digest(low), sha256Digest("other")] };
}

function manifestOnly(layer: string): Entry[] {
  const config = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [sha256Digest("x")] } };
  return [
    { path: "c.json", text: JSON.stringify(config) },
    { path: "manifest.json", text: JSON.stringify([{ Config: "c.json", RepoTags: ["x:1"], Layers: [layer] }]) },
  ];
}

test("a file that only claims to be an existing layer does not become its blob", async () => {
  await load(dockerArchive({ name: "one:1", layers: [low] }));
  const lie = dockerArchive({ name: "lie:1", layers: [high], diffIds: [sha256Digest(low)] });
  await expect(load(lie)).rejects.toThrow("invalid diffID for layer 0");
  expect(rig.store.images.named("docker.io/library/lie:1")).toBeUndefined();
  expect(rig.store.content.info(sha256Digest(high))).toBeUndefined();
});

/** As a program may write it when it has no name or path for something. */
const sketch = (changes: object): Uint8Array => {
  const files = manifestOnly("blob").map(({ path, text }) => {
    const own = text!.replace(sha256Digest("x"), sha256Digest(low));
    const [entry] = path === "manifest.json" ? (JSON.parse(own) as object[]) : [];
    return { path, text: entry === undefined ? own : JSON.stringify([{ ...entry, ...changes }]) };
  });
  return tar([
    { path: "blob", text: low.toString("latin1") },
    { path: "null", text: low.toString("latin1") },
    ...files,
  ]);
};

test.each<[object, string]>([
  // dockerd reads null as "", which is no reference; it cannot read the others at all.
  [{ RepoTags: [null] }, 'invalid tag "": invalid reference format'],
  [{ RepoTags: ["x:1", null] }, 'invalid tag "": invalid reference format'],
  [{ RepoTags: [""] }, 'invalid tag "": invalid reference format'],
  [{ RepoTags: [1] }, "manifest.json of the archive has RepoTags that are no list of strings: [1]"],
  [{ RepoTags: ["x:1", ["y:1"]] }, "manifest.json of the archive has RepoTags that are no list of strings"],
  [{ RepoTags: "x:1" }, "manifest.json of the archive has RepoTags that are no list of strings"],
  [{ Layers: [null] }, "manifest.json of the archive has Layers that are no list of strings: [null]"],
])("a manifest.json with %j is rejected", async (changes, message) => {
  await expect(load(sketch(changes))).rejects.toThrow(message);
  await expectNothing();
});

test.each([[null], [[]], [undefined]])("RepoTags %j: an image without a name", async (RepoTags) => {
  expect(await load(sketch({ RepoTags }))).toMatch(/^Loaded image ID: sha256:[0-9a-f]{64}\n$/);
});

test.each([[null], [undefined], [[]]])("Layers %j: an image without layers", async (Layers) => {
  const config = JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers" } });
  const archive = tar([
    { path: "c.json", text: config },
    { path: "manifest.json", text: JSON.stringify([{ Config: "c.json", RepoTags: ["none:1"], Layers }]) },
  ]);
  expect(await load(archive)).toBe("Loaded image: none:1\n");
  expect(rig.store.images.list()).toMatchObject([{ id: sha256Digest(config), layers: [] }]);
  expect(await load(await save("none:1"))).toBe("Loaded image: none:1\n");
});

test("an OCI layout whose manifest has no schemaVersion is loaded, and saved byte for byte", async () => {
  const archive = ociLayout(() => ({ "io.containerd.image.name": "one:1" }), { schemaVersion: undefined });
  expect(await load(archive)).toBe("Loaded image: one:1\n");
  expect(await load(await save("one:1"))).toBe("Loaded image: one:1\n");
});

test("links in an archive are followed inside the archive", async () => {
  const archive = tar([
    { path: "blob", text: low.toString("latin1") },
    { path: "a/layer.tar", kind: "symlink", linkPath: "../blob" },
    ...manifestOnly("a/layer.tar").map((entry) => ({
      ...entry,
      text: entry.text!.replace(sha256Digest("x"), sha256Digest(low)),
    })),
  ]);
  expect(await load(archive)).toBe("Loaded image: x:1\n");
});
