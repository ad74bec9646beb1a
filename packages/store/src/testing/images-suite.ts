/** What every `ImageStore` does. Each implementation and each fake runs it. */
import { expect, test } from "bun:test";
import { systemClock } from "@fathom/base";
import { mediaTypes, sha256Digest, type Digest } from "@fathom/spec";
import type { ImageRecord, ImageTarget, Lease, Store } from "../contract.ts";
import type { OpenStoreUnderTest } from "./store-under-test.ts";

const failsWith = (code: string): unknown => expect.objectContaining({ code });
const repository = "docker.io/library/a";

function put({ content }: Store, lease: Lease, text: string): Digest {
  return content.put(new TextEncoder().encode(text), lease).digest;
}

function manifest(digest: Digest): ImageTarget {
  return { digest, size: 8, mediaType: mediaTypes.ociManifest };
}

/** An image without layers, whose config is this text, with these manifests. */
function addImage(store: Store, lease: Lease, text: string, manifests: readonly Digest[] = []): Digest {
  const id = put(store, lease, text);
  const made = { id, layers: [], blobs: [], manifests, storedAt: "2026-01-01T00:00:00Z", size: 0, parent: undefined };
  store.images.put(made, lease);
  return id;
}

export function imagesSuite(name: string, open: OpenStoreUnderTest): void {
  test(`${name}: images are stored once, merged, named, found and removed`, async () => {
    await using it = await open(systemClock);
    const { store } = it;
    const { images } = store;
    const lease = store.leases.create("test");
    const config = put(store, lease, "{}");
    const layer = it.addLayer(lease, undefined, "a");
    const [m1, m2, blob] = ["m1", "m2", "blob"].map((text) => put(store, lease, text)) as [Digest, Digest, Digest];
    const image: ImageRecord = {
      id: config,
      layers: [layer.chainId],
      blobs: [],
      manifests: [m1],
      storedAt: "2026-01-01T00:00:00Z",
      size: 7,
      parent: undefined,
    };
    images.put(image, lease);
    images.put({ ...image, blobs: [blob], manifests: [m2, m1], storedAt: "2027-01-01T00:00:00Z" }, lease);
    const merged = { ...image, blobs: [blob], manifests: [m1, m2] };
    expect(images.get(config)).toEqual(merged);
    expect(images.list()).toEqual([merged]);

    const hex = config.slice("sha256:".length);
    expect(images.find(hex.slice(0, 4))).toEqual([config]);
    expect(images.find(`sha256:${hex}`)).toEqual([config]);
    for (const none of [`${hex.slice(0, 4)}x`, "", "%"]) expect(images.find(none)).toEqual([]);

    const held = { target: manifest(m1), images: [config] as const, content: [] };
    for (const tag of ["1", "2"]) images.tag({ ...held, name: `${repository}:${tag}` });
    expect(images.names(config)).toEqual(["1", "2"].map((tag) => ({ ...held, name: `${repository}:${tag}` })));
    expect(images.names()).toEqual(images.names(config));
    expect(images.named(`${repository}:1`)).toEqual({ ...held, name: `${repository}:1` });
    expect(images.named(`${repository}:3`)).toBeUndefined();
    expect(() => images.remove(config)).toThrow(failsWith("conflict"));
    expect(images.untag(`${repository}:1`)).toBe(true);
    expect(images.untag(`${repository}:1`)).toBe(false);
    images.untag(`${repository}:2`);
    images.remove(config);
    expect(images.get(config)).toBeUndefined();
  });

  test(`${name}: a name holds the platforms of an index and its attestations as one image`, async () => {
    await using it = await open(systemClock);
    const { store } = it;
    const { images } = store;
    const lease = store.leases.create("test");
    const [index, amd, arm, proof] = ["index", "of amd64", "of arm64", "proof"].map((text) =>
      put(store, lease, text),
    ) as [Digest, Digest, Digest, Digest];
    const [host, other] = [addImage(store, lease, "host", [amd, index]), addImage(store, lease, "other", [arm, index])];
    const target = { digest: index, size: 5, mediaType: mediaTypes.ociIndex };
    const held = { target, images: [host, other] as const, content: [proof] };
    for (const own of [`${repository}:1`, `${repository}@${index}`]) images.tag({ ...held, name: own });
    store.leases.release(lease);
    expect((await store.collector.collect()).blobs).toEqual([]);
    expect(images.list().map(({ id }) => id)).toEqual([host]);
    expect(images.names(other)).toEqual(images.names(host));
    expect(images.get(other)?.manifests).toEqual([arm, index]);
    expect(images.named(`${repository}:1`)).toEqual({ ...held, name: `${repository}:1` });
    expect(() => images.remove(other)).toThrow(failsWith("conflict"));

    // Another name shows the other platform: both are listed, each once.
    images.tag({ name: "docker.io/library/b:1", target, images: [other], content: [] });
    expect(new Set(images.list().map(({ id }) => id))).toEqual(new Set([host, other]));
    images.untag("docker.io/library/b:1");

    // A name that moves holds the objects of its new target.
    images.tag({ name: `${repository}:1`, target, images: [other], content: [] });
    images.untag(`${repository}@${index}`);
    expect(new Set(images.list().map(({ id }) => id))).toEqual(new Set([host, other]));
    images.remove(host);
    expect(new Set((await store.collector.collect()).blobs)).toEqual(new Set([host, amd, proof]));
    images.untag(`${repository}:1`);
    images.remove(other);
    await store.collector.collect();
    expect(store.content.list()).toEqual([]);
  });

  test(`${name}: name@digest is only for an image that has a manifest with the digest, for every source of names`, async () => {
    await using it = await open(systemClock);
    const { store } = it;
    const { images } = store;
    const lease = store.leases.create("test");
    const own = put(store, lease, "manifest");
    const other = put(store, lease, "of another image");
    const id = addImage(store, lease, "{}", [own]);
    images.tag({ name: `${repository}@${own}`, target: manifest(own), images: [id], content: [] });
    for (const [wrong, target] of [
      [`${repository}@${other}`, other],
      [`${repository}@${own}`, other],
      [`${repository}:1@${own}`, own],
      [`${repository}@${other}`, own],
    ] as const)
      expect(() => images.tag({ name: wrong, target: manifest(target), images: [id], content: [] })).toThrow(
        "which has no manifest with this digest",
      );
    for (const wrong of ["sha256:1234", `docker.io/library/sha256@${own}`])
      expect(() => images.tag({ name: wrong, target: manifest(own), images: [id], content: [] })).toThrow(
        "using digest algorithm as name",
      );
    expect(images.names().map((one) => one.name)).toEqual([`${repository}@${own}`]);
  });

  test(`${name}: an image without its parts, and a name without its image or its content, are rejected`, async () => {
    await using it = await open(systemClock);
    const { store } = it;
    const lease = store.leases.create("test");
    const none = sha256Digest("none");
    const image = { id: none, layers: [], blobs: [], manifests: [], storedAt: "", size: 0, parent: undefined };
    expect(() => store.images.put(image, lease)).toThrow(failsWith("not-found"));
    const config = put(store, lease, "{}");
    const missing = it.addLayer(store.leases.create("other"), undefined, "a").chainId;
    for (const { id } of store.leases.list()) if (id !== lease.id) store.leases.release({ id });
    await store.collector.collect();
    expect(() => store.images.put({ ...image, id: config, layers: [missing] }, lease)).toThrow(failsWith("not-found"));
    const target = manifest(config);
    expect(() => store.images.tag({ name: "x:1", target, images: [none], content: [] })).toThrow(
      failsWith("not-found"),
    );
    const id = addImage(store, lease, "[]");
    expect(() => store.images.tag({ name: "x:1", target, images: [id], content: [none] })).toThrow(
      failsWith("not-found"),
    );
    expect(store.images.names()).toEqual([]);
    expect(store.images.list().map((one) => one.id)).toEqual([id]);
  });

  test(`${name}: an image stays while another one is committed on top of it`, async () => {
    await using it = await open(systemClock);
    const { store } = it;
    const { images } = store;
    const lease = store.leases.create("test");
    const parent = addImage(store, lease, "parent");
    const child = put(store, lease, "child");
    const made = { layers: [], blobs: [], manifests: [], storedAt: "2026-01-01T00:00:00Z", size: 0 };
    images.put({ ...made, id: child, parent }, lease);
    expect(images.children(parent)).toEqual([child]);
    expect(() => images.remove(parent)).toThrow(failsWith("conflict"));
    images.remove(child);
    images.remove(parent);
    expect(images.list()).toEqual([]);
  });
}
