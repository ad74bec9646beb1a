/** An index with two platforms and an attestation is one image: one name, one row in every list, content of its own. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeTar } from "@fathom/archive/testing";
import { silentLogger, systemClock } from "@fathom/base";
import { ScriptedRegistry, defaultRegistryConfig } from "@fathom/distribution/testing";
import {
  formatPlatform,
  hostPlatform,
  mediaTypes,
  parseReference,
  sha256Digest,
  type Digest,
  type Platform,
} from "@fathom/spec";
import { manifestsOf, openStore, readTarget, type Store } from "@fathom/store";
import { createSys } from "@fathom/sys";
import type { Images } from "./contract.ts";
import { createImages } from "./images.ts";

const never = new AbortController().signal;
const host = hostPlatform();
const foreign: Platform = { os: "linux", architecture: host.architecture === "arm64" ? "amd64" : "arm64" };
const name = "app:1";

let root: string;
let store: Store;
let images: Images;
let registry: ScriptedRegistry;
/** Containers that were made from an image, and whether they run. */
const users = new Map<Digest, boolean>();
beforeEach(async () => {
  registry = await ScriptedRegistry.start();
  root = mkdtempSync(join(tmpdir(), "fathom-one-image-"));
  const sys = createSys();
  store = await openStore({ root, sys, logger: silentLogger, syncFilesystem: async () => undefined });
  images = createImages({
    config: { dataRoot: root, maxConcurrentDownloads: 3, maxConcurrentUploads: 3 },
    registry: { ...defaultRegistryConfig, proxy: {}, certificateDirectories: [], attempts: 1 },
    store,
    sys,
    uses: {
      ofImage: (id) => (users.has(id) ? [{ id: "c".repeat(64), running: users.get(id) === true }] : []),
    },
    publish: () => undefined,
    builtinLabels: {},
    logger: silentLogger,
    clock: systemClock,
  });
});
afterEach(async () => {
  await images[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  rmSync(root, { recursive: true });
  users.clear();
});

const tar = (...files: readonly (readonly [string, Uint8Array])[]): Buffer =>
  makeTar(files.map(([path, text]) => ({ path, text })));

/** Blobs of an image as in a layout or a registry, by digest. */
class Blobs {
  readonly all = new Map<Digest, { readonly data: Buffer; readonly mediaType: string }>();

  add(mediaType: string, content: Buffer | object) {
    const data = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
    const digest = sha256Digest(data);
    this.all.set(digest, { data, mediaType });
    return { mediaType, digest, size: data.length };
  }

  manifest(config: object, layer: { readonly mediaType: string; readonly data: Buffer }) {
    const described = this.add(mediaTypes.ociConfig, config);
    const layers = [this.add(layer.mediaType, layer.data)];
    const manifest = this.add(mediaTypes.ociManifest, {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: described,
      layers,
    });
    return { manifest, config: described.digest, layer: layers[0]!.digest };
  }
}

/** As `docker buildx build --platform A,B --provenance` makes it. */
function multiPlatform() {
  const blobs = new Blobs();
  const image = (platform: Platform) => {
    const data = tar(["platform", Buffer.from(formatPlatform(platform))]);
    return blobs.manifest(
      { ...platform, rootfs: { type: "layers", diff_ids: [sha256Digest(data)] } },
      { mediaType: mediaTypes.ociLayer, data },
    );
  };
  const [own, other] = [image(host), image(foreign)];
  const statement = Buffer.from(JSON.stringify({ predicateType: "https://slsa.dev/provenance/v0.2" }));
  const attestation = blobs.manifest(
    { os: "unknown", architecture: "unknown", rootfs: { type: "layers", diff_ids: [sha256Digest(statement)] } },
    { mediaType: "application/vnd.in-toto+json", data: statement },
  );
  const index = blobs.add(mediaTypes.ociIndex, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [
      { ...other.manifest, platform: foreign },
      { ...own.manifest, platform: host },
      {
        ...attestation.manifest,
        platform: { os: "unknown", architecture: "unknown" },
        annotations: {
          "vnd.docker.reference.type": "attestation-manifest",
          "vnd.docker.reference.digest": own.manifest.digest,
        },
      },
    ],
  });
  return { blobs, own, other, attestation, index };
}

/** @param entries Of manifest.json. */
function archiveOf(
  { blobs, index, manifests }: ReturnType<typeof multiPlatform> & { readonly manifests?: readonly object[] },
  shown: string | undefined = name,
  entries?: readonly object[],
): Buffer {
  const annotations = shown === undefined ? {} : { annotations: { "io.containerd.image.name": shown } };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  return tar(
    ...[...blobs.all].map(([digest, { data }]) => [`blobs/${digest.replace(":", "/")}`, data] as const),
    ["index.json", json({ schemaVersion: 2, manifests: manifests ?? [{ ...index, ...annotations }] })],
    ...(entries === undefined ? [] : [["manifest.json", json(entries)] as const]),
    ["oci-layout", json({ imageLayoutVersion: "1.0.0" })],
  );
}

async function load(archive: Buffer, platform?: Platform) {
  return Array.fromAsync(
    images.load(
      (async function* () {
        yield archive;
      })(),
      platform,
      never,
    ),
  );
}

const remove = (what: string, force = false) => images.remove(what, { force, noPrune: false });

async function expectNothing(): Promise<void> {
  await store.collector.collect();
  expect([store.content.list(), store.layers.list(), store.images.names(), images.list()]).toEqual([[], [], [], []]);
  expect(readdirSync(join(root, "content/sha256"))).toEqual([]);
}

test("an index with two platforms and an attestation is loaded, held and removed as one image", async () => {
  const made = multiPlatform();
  const { blobs, own, other, attestation, index } = made;
  expect(await load(archiveOf(made))).toEqual([
    { kind: "loaded", image: own.config, name: parseReference(name), replaced: undefined },
  ]);

  // One name, one image.
  expect(store.images.names()).toEqual([
    {
      name: "docker.io/library/app:1",
      target: index,
      images: [own.config, other.config],
      content: [attestation.manifest.digest, attestation.config, attestation.layer].sort(),
    },
  ]);
  expect(images.list().map(({ id }) => id)).toEqual([own.config]);

  // Each platform; this machine's when none is requested.
  expect(images.find(name).id).toBe(own.config);
  expect(images.find(name, host).id).toBe(own.config);
  expect(images.find(name, foreign).id).toBe(other.config);
  expect(images.lookup(name, foreign)).toMatchObject({
    id: other.config,
    topLayer: images.find(name, foreign).layers[0],
  });
  expect(images.config(other.config)).toMatchObject(foreign);
  expect(images.history(name, foreign)).toHaveLength(1);
  expect(images.names(other.config)).toEqual({ tags: [name], digests: [] });
  const absent = { os: "linux", architecture: "s390x" };
  expect(images.lookup(name, absent).id).toBe(own.config);
  expect(() => images.find(name, absent)).toThrow(expect.objectContaining({ code: "not-found" }));

  // All of it is kept, byte for byte, and nothing else.
  await store.collector.collect();
  expect(new Set(store.content.list().map(({ digest }) => digest))).toEqual(new Set(blobs.all.keys()));
  for (const [digest, { data }] of blobs.all) expect(data.equals(store.content.read(digest, 1e6))).toBe(true);
  expect(
    [...readTarget(manifestsOf(store.content), index)].map(({ kind, subject, descriptor, manifest }) => [
      kind,
      subject,
      descriptor.digest,
      manifest?.config.digest,
    ]),
  ).toEqual([
    ["image", undefined, other.manifest.digest, other.config],
    ["image", undefined, own.manifest.digest, own.config],
    ["attestation", own.manifest.digest, attestation.manifest.digest, attestation.config],
  ]);

  // Another name of it is the same image.
  images.tag(name, parseReference("copy:2"));
  expect((await remove(name)).map(({ kind }) => kind)).toEqual(["name"]);
  await store.collector.collect();
  expect(store.content.list()).toHaveLength(blobs.all.size);
  expect(images.find("copy:2", foreign).id).toBe(other.config);
  const removed = await remove("copy:2");
  expect(removed.flatMap((part) => (part.kind === "image" ? [part.id] : []))).toEqual([own.config, other.config]);
  await expectNothing();
});

test("other platforms go with the last name that holds them, when the shown one has names of its own", async () => {
  const made = multiPlatform();
  const twice = async (): Promise<void> => {
    await load(archiveOf(made));
    // The same image of this machine's platform, alone.
    await load(archiveOf(made, "single:1"), host);
  };
  await twice();
  const removed = await remove(name);
  expect(removed.flatMap((part) => (part.kind === "image" ? [part.id] : []))).toEqual([made.other.config]);
  expect(images.list().map(({ id }) => id)).toEqual([made.own.config]);
  await remove("single:1");
  await expectNothing();

  // A container keeps its platform.
  await twice();
  users.set(made.other.config, false);
  await remove(name);
  expect(images.names(made.other.config)).toEqual({ tags: [], digests: [] });
  expect(images.config(made.other.config)).toMatchObject(foreign);
  users.clear();
  await remove("single:1");
  await remove(made.other.config);
  await expectNothing();

  await twice();
  await images.prune(() => true);
  await expectNothing();
});

test("an archive without the other platforms' blobs, and one platform of an archive, are images of that platform", async () => {
  const made = multiPlatform();
  for (const digest of [made.other.layer]) made.blobs.all.delete(digest);
  await load(archiveOf(made));
  expect(store.images.named("docker.io/library/app:1")).toMatchObject({
    target: made.index,
    images: [made.own.config],
  });
  await remove(name);
  await expectNothing();

  const whole = multiPlatform();
  await load(archiveOf(whole), foreign);
  expect(store.images.named("docker.io/library/app:1")).toEqual({
    name: "docker.io/library/app:1",
    target: whole.index,
    images: [whole.other.config],
    content: [],
  });
  await remove(name);
  // Without a name nothing could hold the other platform.
  await load(archiveOf(whole, undefined));
  expect(images.list().map(({ id }) => id)).toEqual([whole.own.config]);
  await remove(whole.own.config);
  await expectNothing();
});

test("an archive with a manifest.json brings all platforms of its index too, whatever that file names of it", async () => {
  const made = multiPlatform();
  const entry = (platform: { readonly config: Digest; readonly layer: Digest }, RepoTags: readonly string[]) => ({
    Config: `blobs/${platform.config.replace(":", "/")}`,
    RepoTags,
    Layers: [`blobs/${platform.layer.replace(":", "/")}`],
  });
  for (const entries of [
    [entry(made.own, [name])],
    [entry(made.other, [name])],
    [entry(made.other, [name]), entry(made.own, [name])],
  ]) {
    await load(archiveOf(made, name, entries));
    expect(store.images.names()).toEqual([
      {
        name: "docker.io/library/app:1",
        target: made.index,
        images: [made.own.config, made.other.config],
        content: [made.attestation.manifest.digest, made.attestation.config, made.attestation.layer].sort(),
      },
    ]);
    await remove(name);
    await expectNothing();
  }
  // Names of manifest.json count, all of them.
  await load(archiveOf(made, name, [entry(made.own, ["a:1", "b:1"]), entry(made.other, ["b:1", "c:1"])]));
  expect(store.images.names().map((one) => one.name.replace("docker.io/library/", ""))).toEqual(["a:1", "b:1", "c:1"]);
  for (const tag of ["a:1", "b:1", "c:1"]) await remove(tag);
  await load(archiveOf(made, name, [entry(made.own, [name])]), foreign);
  expect(store.images.names()).toMatchObject([{ target: made.index, images: [made.other.config] }]);
  await remove(name);
  await expectNothing();
});

test("a saved name brings all that is stored of it; loaded again, it is the same image with the same digest", async () => {
  const made = multiPlatform();
  await load(archiveOf(made));
  images.tag(name, parseReference("copy:2"));
  const before = store.images.names();
  const archive = Buffer.concat(await Array.fromAsync(images.save([name, "copy:2"], undefined, never)));
  const one = Buffer.concat(await Array.fromAsync(images.save([name], foreign, never)));
  await remove(name);
  await remove("copy:2");
  await expectNothing();
  await load(archive);
  expect(store.images.names()).toEqual(before);
  await remove(name);
  await remove("copy:2");
  // One platform that was asked for is saved alone.
  await load(one);
  expect(store.images.names()).toMatchObject([
    { target: { digest: made.other.manifest.digest }, images: [made.other.config], content: [] },
  ]);
  await remove(name);
  await expectNothing();
});

test("an archive of foreign platforms only is taken; the first complete one is shown", async () => {
  const made = multiPlatform();
  for (const digest of [made.own.layer, made.own.config, made.own.manifest.digest]) made.blobs.all.delete(digest);
  await load(archiveOf(made));
  expect(store.images.names()).toMatchObject([{ target: made.index, images: [made.other.config], content: [] }]);
  expect(images.find(name).id).toBe(made.other.config);
  expect(() => images.find(name, host)).toThrow(expect.objectContaining({ code: "not-found" }));
  await remove(name);
  await expect(load(archiveOf(made), host)).rejects.toThrow(/the archive has no (image for the platform|file)/);
  await expectNothing();
});

test("an attestation beside the image is no image; an archive of nothing else is rejected with its reason", async () => {
  const made = multiPlatform();
  const { own, attestation } = made;
  const marked = {
    annotations: {
      "vnd.docker.reference.type": "attestation-manifest",
      "vnd.docker.reference.digest": own.manifest.digest,
    },
  };
  const named = { ...own.manifest, annotations: { "io.containerd.image.name": name } };
  for (const beside of [{ ...attestation.manifest, ...marked }, attestation.manifest]) {
    const other = { ...made, manifests: [beside, named] };
    await load(archiveOf(other));
    expect(store.images.names()).toMatchObject([{ target: own.manifest, images: [own.config], content: [] }]);
    await remove(name);
  }
  await expect(load(archiveOf({ ...made, manifests: [attestation.manifest] }))).rejects.toThrow(
    "unsupported layer media type",
  );
  await expectNothing();
});

test("an attestation whose bytes do not match its manifest leaves nothing", async () => {
  const made = multiPlatform();
  const { data, mediaType } = made.blobs.all.get(made.attestation.layer)!;
  made.blobs.all.set(made.attestation.layer, { data: Buffer.concat([data, Buffer.from(" ")]), mediaType });
  await expect(load(archiveOf(made))).rejects.toMatchObject({ code: "data-loss" });
  await expectNothing();
});

test("a container of either platform keeps the whole image", async () => {
  const made = multiPlatform();
  await load(archiveOf(made));
  users.set(made.other.config, true);
  for (const what of [name, made.own.config, made.other.config])
    await expect(remove(what)).rejects.toMatchObject({ code: "conflict" });
  await expect(remove(made.own.config, true)).rejects.toMatchObject({ code: "conflict" });
  expect(images.names(made.own.config).tags).toEqual([name]);
  users.set(made.other.config, false);
  await expect(remove(name)).rejects.toMatchObject({ code: "conflict" });
  users.clear();
  await remove(made.other.config);
  await expectNothing();
});

test("a pull brings one platform of the index: the others are entries that are not present; a loaded image keeps the others", async () => {
  const made = multiPlatform();
  for (const { data, mediaType } of made.blobs.all.values())
    if (mediaType === mediaTypes.ociManifest || mediaType === mediaTypes.ociIndex)
      registry.addManifest("app:1", mediaType, JSON.parse(data.toString()));
    else registry.addBlob(data, mediaType);
  const pulled = `${registry.host}/app:1`;
  const pull = (platform: Platform | undefined) =>
    Array.fromAsync(images.pull({ reference: parseReference(pulled), platform, credentials: undefined }, never));
  await pull(undefined);
  expect(store.images.named(pulled)).toEqual({
    name: pulled,
    target: made.index,
    images: [made.own.config],
    content: [],
  });
  const present = () =>
    [...readTarget(manifestsOf(store.content), made.index)].map(({ manifest }) => manifest !== undefined);
  expect(present()).toEqual([false, true, false]);
  expect(() => images.find(pulled, foreign)).toThrow(expect.objectContaining({ code: "not-found" }));

  // As in Docker, the name then shows the other one, and the first has no name.
  await pull(foreign);
  expect(store.images.named(pulled)?.images).toEqual([made.other.config]);
  expect(new Set(images.list().map(({ id }) => id))).toEqual(new Set([made.own.config, made.other.config]));
  await remove(made.own.config);
  await remove(pulled);
  await expectNothing();

  await load(archiveOf(made, pulled));
  await pull(foreign);
  expect(store.images.named(pulled)?.images).toEqual([made.other.config, made.own.config]);
  expect(present()).toEqual([true, true, true]);
  await remove(pulled);
  await expectNothing();
});
