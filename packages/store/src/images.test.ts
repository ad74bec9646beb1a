import { expect, test } from "bun:test";
import { sha256Digest } from "@fathom/spec";
import type { ImageRecord } from "./contract.ts";
import { addLayer, bytes, openTestStore, temporaryRoot } from "./test-support.ts";

test("images are stored once, merged, named, found and removed", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const { images, content } = store;
  const lease = store.leases.create("test");
  const config = content.put(bytes("{}"), lease).digest;
  const layer = addLayer(store, lease, undefined, "a");
  const [m1, m2, blob] = ["m1", "m2", "blob"].map((text) => content.put(bytes(text), lease).digest);
  const image: ImageRecord = {
    id: config,
    layers: [layer.chainId],
    blobs: [],
    manifests: [m1!],
    storedAt: "2026-01-01T00:00:00Z",
    size: 7,
    parent: undefined,
  };
  images.put(image, lease);
  images.put({ ...image, blobs: [blob!], manifests: [m2!, m1!], storedAt: "2027-01-01T00:00:00Z" }, lease);
  const merged = { ...image, blobs: [blob!], manifests: [m1!, m2!] };
  expect(images.get(config)).toEqual(merged);
  expect(images.list()).toEqual([merged]);

  const hex = config.slice(7);
  expect(images.find(hex.slice(0, 4))).toEqual([config]);
  expect(images.find(`sha256:${hex}`)).toEqual([config]);
  expect(images.find(`${hex.slice(0, 4)}x`)).toEqual([]);
  expect(images.find("")).toEqual([]);
  expect(images.find("%")).toEqual([]);

  images.tag({ name: "docker.io/library/a:1", image: config, target: m1! });
  images.tag({ name: "docker.io/library/a:2", image: config, target: undefined });
  expect(images.references(config).map(({ name }) => name)).toEqual(["docker.io/library/a:1", "docker.io/library/a:2"]);
  expect(images.references()).toHaveLength(2);
  expect(images.reference("docker.io/library/a:1")).toEqual({
    name: "docker.io/library/a:1",
    image: config,
    target: m1!,
  });
  expect(() => images.remove(config)).toThrow(expect.objectContaining({ code: "conflict" }));
  expect(images.untag("docker.io/library/a:1")).toBe(true);
  expect(images.untag("docker.io/library/a:1")).toBe(false);
  images.untag("docker.io/library/a:2");
  images.remove(config);
  expect(images.get(config)).toBeUndefined();
});

test("an image without its parts, and a name without its image, are refused", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const lease = store.leases.create("test");
  const none = sha256Digest("none");
  const image = {
    id: none,
    layers: [],
    blobs: [],
    manifests: [],
    storedAt: "2026-01-01T00:00:00Z",
    size: 0,
    parent: undefined,
  };
  expect(() => store.images.put(image, lease)).toThrow(/its config is not in the content store/);
  const config = store.content.put(bytes("{}"), lease).digest;
  const layers = [addLayer(store, lease, undefined, "a").chainId, none as string as (typeof image.layers)[number]];
  expect(() => store.images.put({ ...image, id: config, layers }, lease)).toThrow(/its layer .* does not exist/);
  expect(() => store.images.tag({ name: "x", image: none, target: undefined })).toThrow(/No such image/);
  expect(store.images.list()).toEqual([]);
});
