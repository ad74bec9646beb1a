import { expect, test } from "bun:test";
import { sha256Digest } from "@fathom/spec";
import type { ImageRecord } from "./contract.ts";
import { storeMigrations } from "./database/schema.ts";
import { addLayer, bytes, openTestStore, temporaryRoot } from "./testing/test-support.ts";

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

test("name@digest is for an image that has a manifest with the digest, whoever writes the name", async () => {
  using root = temporaryRoot();
  await using store = await openTestStore(root.path);
  const { images, content } = store;
  const lease = store.leases.create("test");
  const id = content.put(bytes("{}"), lease).digest;
  const own = content.put(bytes("manifest"), lease).digest;
  const other = content.put(bytes("of another image"), lease).digest;
  images.put(
    { id, layers: [], blobs: [], manifests: [own], storedAt: "2026-01-01T00:00:00Z", size: 0, parent: undefined },
    lease,
  );
  const name = "docker.io/library/a";
  images.tag({ name: `${name}@${own}`, image: id, target: own });
  for (const [wrong, target] of [
    [`${name}@${other}`, other],
    [`${name}@${own}`, undefined],
    [`${name}@${own}`, other],
    [`${name}:1@${own}`, own],
    [`${name}@${other}`, own],
  ] as const)
    expect(() => images.tag({ name: wrong, image: id, target })).toThrow("which has no manifest with this digest");
  for (const wrong of ["sha256:1234", `docker.io/library/sha256@${own}`])
    expect(() => images.tag({ name: wrong, image: id, target: own })).toThrow("using digest algorithm as name");
  expect(images.references()).toEqual([{ name: `${name}@${own}`, image: id, target: own }]);

  // Rows of a version that believed archives: they go at its last migration.
  const { database } = store;
  database.run("INSERT INTO image_references VALUES (?, ?, NULL)", `${name}@${other}`, id);
  database.run("INSERT INTO image_references VALUES (?, ?, NULL)", `${name}:1@${own}`, id);
  database.run("INSERT INTO image_references VALUES (?, ?, ?)", `docker.io/library/b@${other}`, id, other);
  database.run("INSERT INTO image_references VALUES ('docker.io/library/sha256:1234', ?, NULL)", id);
  database.run("INSERT INTO image_references VALUES (?, ?, NULL)", `${name}:1`, id);
  for (const statement of storeMigrations[2]!.up) database.run(statement);
  expect(images.references().map((one) => one.name)).toEqual([`${name}:1`, `${name}@${own}`]);
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
