/** What every implementation of `Images` must do: its tests call `testImages` with a function that opens one. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { makeTar } from "@fathom/archive/testing";
import { ScriptedRegistry } from "@fathom/distribution/testing";
import { hostPlatform, mediaTypes, parsePlatform, parseReference, sha256Digest, type Digest } from "@fathom/spec";
import type { Images, ImagesParts, PullEvent } from "../contract.ts";
import { parseRepositoryTag } from "../names/names.ts";

/** Opens images with an empty store of their own. */
export type OpenImages = (
  parts: Pick<ImagesParts, "uses" | "publish">,
) => Promise<{ readonly images: Images } & AsyncDisposable>;

const never = new AbortController().signal;

const tar = (path: string, text: string): Buffer => makeTar([{ path, text }]);

async function* stream(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

export function testImages(open: OpenImages): void {
  let rig: Awaited<ReturnType<OpenImages>>;
  let images: Images;
  let registry: ScriptedRegistry;
  const events: string[] = [];
  /** Who uses which image. */
  const users = new Map<Digest, { readonly id: string; readonly running: boolean }>();
  beforeEach(async () => {
    registry = await ScriptedRegistry.start();
    rig = await open({
      publish: (action, image) => void events.push(`${action} ${image}`),
      uses: { ofImage: (id) => (users.has(id) ? [users.get(id)!] : []) },
    });
    ({ images } = rig);
  });
  afterEach(async () => {
    await rig[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    events.length = 0;
    users.clear();
  });

  function importTar(name: string | undefined, text: string, more: Partial<Parameters<Images["import"]>[0]> = {}) {
    return images.import(
      {
        source: stream(tar("file", text)),
        reference: name === undefined ? undefined : parseRepositoryTag(name, undefined),
        message: undefined,
        config: {},
        platform: hostPlatform(),
        ...more,
      },
      never,
    );
  }

  /** A manifest of one layer under `app:<tag>`. */
  function addToRegistry(tag: string, text: string) {
    const layer = tar("file", text);
    const { os, architecture } = hostPlatform();
    const config = Buffer.from(
      JSON.stringify({ os, architecture, rootfs: { type: "layers", diff_ids: [sha256Digest(layer)] } }),
    );
    const blob = registry.addBlob(gzipSync(layer), mediaTypes.ociLayer);
    const manifest = registry.addManifest(`app:${tag}`, mediaTypes.ociManifest, {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: registry.addBlob(config, mediaTypes.ociConfig),
      layers: [blob],
    });
    return { image: sha256Digest(config), layer: blob, manifest };
  }

  function pull(tag: string): Promise<PullEvent[]> {
    const reference = parseReference(`${registry.host}/app:${tag}`);
    return Array.fromAsync(images.pull({ reference, platform: undefined, credentials: undefined }, never));
  }

  test("an imported image is found by its name, its id and the beginning of its id", async () => {
    const id = await importTar("made:1", "one", { message: "from a tar", config: { Env: ["A=1"] } });
    for (const name of ["made:1", id, id.slice("sha256:".length), id.slice(0, "sha256:".length + 12)]) {
      expect(images.find(name).id).toBe(id);
      expect(images.lookup(name)).toMatchObject({ id, config: { config: { Env: ["A=1"] } } });
    }
    expect(images.byId(id)?.topLayer).toBe(images.find(id).layers.at(-1)!);
    expect(images.list().map((one) => one.id)).toEqual([id]);
    expect(images.names(id)).toEqual({ tags: ["made:1"], digests: [] });
    expect(images.lastTagTime(id)).toMatch(/^\d{4}-/);
    expect(images.history("made:1", undefined)).toEqual([
      {
        created: images.config(id).created,
        createdBy: "",
        comment: "from a tar",
        size: "one".length,
        image: { id, tags: ["made:1"] },
      },
    ]);
    expect(events).toEqual([`tag ${id}`, `import ${id}`]);
  });

  test("the error for a missing image has its name; an image for another platform counts as missing", async () => {
    for (const ask of [images.lookup, images.find])
      expect(() => ask("missing")).toThrow(
        expect.objectContaining({ code: "not-found", message: "No such image: missing:latest" }),
      );
    expect(() => images.find("UPPER")).toThrow(expect.objectContaining({ code: "invalid-argument" }));
    expect(images.byId(sha256Digest("nothing"))).toBeUndefined();
    await importTar("made:1", "one", { platform: parsePlatform("linux/s390x") });
    expect(images.find("made:1", parsePlatform("linux/s390x")).id).toBe(images.find("made:1").id);
    expect(() => images.find("made:1", parsePlatform("linux/arm64"))).toThrow(
      expect.objectContaining({ code: "not-found", message: expect.stringContaining("(linux/s390x) does not match") }),
    );
  });

  test("a tag moves to another image", async () => {
    const [one, two] = [await importTar("made:1", "one"), await importTar("made:2", "two")];
    images.tag("made:2", parseRepositoryTag("made", "1"));
    expect([images.names(one).tags, images.names(two).tags]).toEqual([[], ["made:1", "made:2"]]);
    expect(images.lastTagTime(one)).toBeUndefined();
    expect(events.at(-1)).toBe(`tag ${two}`);
  });

  test("a saved image that is removed and loaded is the same image, with its name", async () => {
    const id = await importTar("made:1", "one");
    const { layers } = images.find(id);
    const archive = await Array.fromAsync(images.save(["made:1"], undefined, never));
    expect(await images.remove("made:1", { force: false, noPrune: false })).toEqual([
      { kind: "name", name: "made:1" },
      { kind: "image", id },
      ...layers.map((chainId) => ({ kind: "layer" as const, chainId: chainId as string })),
    ]);
    expect(images.list()).toEqual([]);
    const other = await importTar("made:1", "another");
    const loaded = await Array.fromAsync(images.load(stream(...archive), undefined, never));
    expect(loaded).toEqual([{ kind: "loaded", image: id, name: parseReference("made:1"), replaced: other }]);
    expect([images.names(id).tags, images.names(other).tags]).toEqual([["made:1"], []]);
    const missing = Array.fromAsync(images.save(["missing"], undefined, never));
    await expect(missing).rejects.toMatchObject({ code: "not-found" });
  });

  test("an image in use stays; a running user also prevents a forced removal", async () => {
    const id = await importTar("made:1", "one");
    users.set(id, { id: "c".repeat(64), running: true });
    const remove = (name: string, force: boolean) => images.remove(name, { force, noPrune: false });
    for (const force of [false, true]) await expect(remove(id, force)).rejects.toMatchObject({ code: "conflict" });
    await expect(remove("made:1", false)).rejects.toMatchObject({ code: "conflict" });
    users.set(id, { id: "c".repeat(64), running: false });
    await expect(remove(id, false)).rejects.toMatchObject({ code: "conflict" });
    expect(images.names(id).tags).toEqual(["made:1"]);
    expect((await remove(id, true)).map(({ kind }) => kind)).toEqual(["name", "image", "layer"]);
    expect(images.byId(id)).toBeUndefined();
  });

  test("a prune removes selected images that are not in use", async () => {
    const [used, kept, gone] = [
      await importTar("used:1", "1"),
      await importTar("kept:1", "22"),
      await importTar("gone:1", "333"),
    ];
    users.set(used, { id: "c".repeat(64), running: false });
    const { removed, reclaimedBytes } = await images.prune(({ id }) => id !== kept);
    expect(removed.slice(0, 2)).toEqual([
      { kind: "name", name: "gone:1" },
      { kind: "image", id: gone },
    ]);
    expect(reclaimedBytes).toBeGreaterThanOrEqual("333".length);
    expect(new Set(images.list().map(({ id }) => id))).toEqual(new Set([used, kept]));
    expect(images.names(used).tags).toEqual(["used:1"]);
    expect(events.at(-1)).toBe("prune ");
  });

  test("a pull reports each layer's progress, and a second pull knows that nothing has changed", async () => {
    const { image, layer, manifest } = addToRegistry("1", "one");
    const pulled = await pull("1");
    expect(pulled[0]).toMatchObject({ kind: "pulling" });
    expect(
      pulled
        .flatMap((event) => (event.kind === "layer" && event.layer === layer.digest ? [event.phase] : []))
        .filter((phase) => phase !== "downloading"),
    ).toEqual(["queued", "downloaded", "unpacked"]);
    expect(pulled.slice(-2)).toMatchObject([
      { kind: "resolved", digest: manifest.digest },
      { kind: "done", changed: true, mismatches: [] },
    ]);
    expect(images.names(image)).toEqual({
      tags: [`${registry.host}/app:1`],
      digests: [`${registry.host}/app@${manifest.digest}`],
    });
    expect((await pull("1")).map((event) => (event.kind === "done" ? event.changed : event.kind))).toEqual([
      "pulling",
      "resolved",
      false,
    ]);
    expect(events.filter((event) => event.startsWith("pull "))).toHaveLength(2);
  });

  test("a pull that its client leaves, and an archive that breaks, leave no image", async () => {
    addToRegistry("1", "one");
    const reached = Promise.withResolvers<void>();
    registry.script = async ({ path }) => {
      if (!path.includes("/blobs/")) return false;
      reached.resolve();
      await closed.promise;
      return false;
    };
    const closed = Promise.withResolvers<void>();
    const client = new AbortController();
    const reference = parseReference(`${registry.host}/app:1`);
    const pulling = Array.fromAsync(
      images.pull({ reference, platform: undefined, credentials: undefined }, client.signal),
    );
    await reached.promise;
    client.abort();
    await expect(pulling).rejects.toMatchObject({ code: "aborted" });
    closed.resolve();
    await expect(importTar("made:1", "", { source: stream(Buffer.from("no tar at all")) })).rejects.toMatchObject({
      code: "invalid-argument",
    });
    await expect(Array.fromAsync(images.load(stream(tar("file", "no image")), undefined, never))).rejects.toMatchObject(
      { code: "invalid-argument" },
    );
    expect(images.list()).toEqual([]);
  });

  test("a push names what it cannot find, after its first event", async () => {
    const events = images.push({ name: "missing", tag: undefined, credentials: undefined, platform: undefined }, never);
    const pushing = events[Symbol.asyncIterator]();
    expect(await pushing.next()).toMatchObject({ value: { kind: "pushing", reference: parseReference("missing") } });
    await expect(pushing.next()).rejects.toMatchObject({ code: "not-found" });
  });

  test("the end cancels a running pull", async () => {
    addToRegistry("1", "one");
    const reached = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    registry.script = async ({ path }) => {
      if (!path.includes("/blobs/")) return false;
      if (path.endsWith(addedLayer)) {
        reached.resolve();
        await closed.promise;
      }
      return false;
    };
    const addedLayer = addToRegistry("1", "one").layer.digest;
    const pulling = pull("1");
    pulling.catch(() => undefined);
    await reached.promise;
    await images[Symbol.asyncDispose]();
    await expect(pulling).rejects.toMatchObject({ code: "unavailable" });
    closed.resolve();
  });
}
