import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { mediaTypes, sha256Digest, type Digest } from "@fathom/spec";
import { openDatabase } from "../database/database.ts";
import { storeMigrations } from "../database/schema.ts";
import { openTestStore, temporaryRoot } from "../testing/test-support.ts";

/** Stores as an earlier version left them: files and rows of that version. */
function oldStore(root: string, version: number) {
  const database = openDatabase(join(root, "fathom.db"));
  database.migrate("store", storeMigrations.slice(0, version));
  const put = (text: string): Digest => {
    const digest = sha256Digest(text);
    const path = join(root, "content", digest.replace(":", "/"));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    database.run("INSERT INTO blobs (digest, size, inode, boot) VALUES (?, ?, '', NULL)", digest, text.length);
    return digest;
  };
  return {
    database,
    put,
    image(text: string, manifests: readonly Digest[]): Digest {
      const id = put(text);
      database.run("INSERT INTO images (id, stored_at, size) VALUES (?, '2026-01-01T00:00:00Z', 7)", id);
      manifests.forEach((digest, position) =>
        database.run("INSERT INTO image_blobs VALUES (?, 'manifest', ?, ?)", id, position, digest),
      );
      return id;
    },
    name: (name: string, image: Digest, target: Digest | null) =>
      database.run("INSERT INTO image_references VALUES (?, ?, ?)", name, image, target),
  };
}

const descriptor = (text: string, mediaType: string) => ({ mediaType, digest: sha256Digest(text), size: text.length });
const manifestOf = (config: string): string =>
  JSON.stringify({ schemaVersion: 2, config: descriptor(config, mediaTypes.ociConfig), layers: [] });

test("migration 6: names of an older version point to their pulled descriptor, or to the image's own manifest or config", async () => {
  using root = temporaryRoot();
  const manifest = manifestOf("pulled");
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.dockerList,
    manifests: [descriptor(manifest, mediaTypes.ociManifest)],
  });
  const old = oldStore(root.path, 5);
  const [own, top] = [old.put(manifest), old.put(index)];
  const pulled = old.image("pulled", [own, top]);
  const bare = old.image("bare", []);
  const gone = sha256Digest("a manifest that a power loss took");
  const damaged = old.image("damaged", [gone, old.put(manifestOf("damaged"))]);
  const repository = "docker.io/library/a";
  old.name(`${repository}:1`, pulled, top);
  old.name(`${repository}@${top}`, pulled, top);
  old.name(`${repository}:tagged`, pulled, null);
  old.name(`${repository}:bare`, bare, null);
  old.name(`${repository}:damaged`, damaged, gone);
  old.name(`${repository}@${gone}`, damaged, gone);
  old.database.close();

  await using store = await openTestStore(root.path);
  const ofIndex = descriptor(index, mediaTypes.dockerList);
  expect(store.images.names().map(({ name, target, images }) => [name, target, images])).toEqual([
    [`${repository}:1`, ofIndex, [pulled]],
    [`${repository}:bare`, descriptor("bare", mediaTypes.ociConfig), [bare]],
    [`${repository}:damaged`, descriptor(manifestOf("damaged"), mediaTypes.ociManifest), [damaged]],
    [`${repository}:tagged`, descriptor(manifest, mediaTypes.ociManifest), [pulled]],
    [`${repository}@${top}`, ofIndex, [pulled]],
  ]);
  expect(store.images.get(pulled)?.manifests).toEqual([own, top]);
  expect((await store.collector.collect()).blobs).toEqual([]);
});

test("migration 3 removes names by digest that an archive chose itself", async () => {
  using root = temporaryRoot();
  const old = oldStore(root.path, 2);
  const own = old.put(manifestOf("{}"));
  const id = old.image("{}", [own]);
  const other = sha256Digest("of another image");
  const repository = "docker.io/library/a";
  old.name(`${repository}@${own}`, id, own);
  old.name(`${repository}:1`, id, null);
  old.name(`${repository}@${other}`, id, null);
  old.name(`${repository}:1@${own}`, id, null);
  old.name(`docker.io/library/b@${other}`, id, other);
  old.name("docker.io/library/sha256:1234", id, null);
  old.database.close();
  await using store = await openTestStore(root.path);
  expect(store.images.names().map(({ name }) => name)).toEqual([`${repository}:1`, `${repository}@${own}`]);
});
