/**
 * Tables of the store. A released migration is never edited: a change is a new migration.
 *
 * `boot` is the kernel's boot id while the files of the row may be only in the page cache, and NULL when they are known to be on disk. After a
 * power loss the ids differ, and recovery checks those rows again (recover.ts).
 */
import type { Migration } from "../contract.ts";

export const storeMigrations: readonly Migration[] = [
  {
    version: 1,
    up: [
      "CREATE TABLE leases (id TEXT PRIMARY KEY, label TEXT NOT NULL, created_at TEXT NOT NULL) STRICT, WITHOUT ROWID",
      // `inode` distinguishes a file that was written again, and is not recorded yet, from the file for which the row was made.
      `CREATE TABLE blobs (
        digest TEXT PRIMARY KEY, size INTEGER NOT NULL, inode TEXT NOT NULL, boot TEXT
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE layers (
        chain_id TEXT PRIMARY KEY, diff_id TEXT NOT NULL, parent TEXT REFERENCES layers (chain_id), cache_id TEXT NOT NULL UNIQUE,
        link TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, boot TEXT
      ) STRICT, WITHOUT ROWID`,
      "CREATE INDEX layers_by_parent ON layers (parent)",
      `CREATE TABLE container_layers (
        id TEXT PRIMARY KEY, parent TEXT REFERENCES layers (chain_id), link TEXT NOT NULL UNIQUE
      ) STRICT, WITHOUT ROWID`,
      "CREATE TABLE images (id TEXT PRIMARY KEY, stored_at TEXT NOT NULL, size INTEGER NOT NULL) STRICT, WITHOUT ROWID",
      `CREATE TABLE image_layers (
        image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE, position INTEGER NOT NULL,
        chain_id TEXT NOT NULL REFERENCES layers (chain_id), PRIMARY KEY (image, position)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE image_blobs (
        image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE, kind TEXT NOT NULL CHECK (kind IN ('layer', 'manifest')),
        position INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (image, kind, digest)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE image_references (
        name TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES images (id), target TEXT
      ) STRICT, WITHOUT ROWID`,
      "CREATE INDEX image_references_by_image ON image_references (image)",
      `CREATE TABLE lease_holds (
        lease TEXT NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
        kind TEXT NOT NULL CHECK (kind IN ('blob', 'layer')), name TEXT NOT NULL, PRIMARY KEY (lease, kind, name)
      ) STRICT, WITHOUT ROWID`,
      "CREATE TABLE store_state (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    ],
  },
  // The image under an image that was committed; it cannot be removed before it.
  {
    version: 2,
    up: [
      "ALTER TABLE images ADD COLUMN parent TEXT REFERENCES images (id)",
      "CREATE INDEX images_by_parent ON images (parent)",
    ],
  },
  // Names by digest that an archive chose itself. Only content with that digest may have such a name.
  {
    version: 3,
    up: [
      `DELETE FROM image_references WHERE instr(name, '@') > 0 AND (
        target IS NULL OR substr(name, instr(name, '@') + 1) <> target OR NOT EXISTS (
          SELECT 1 FROM image_blobs WHERE image = image_references.image AND kind = 'manifest' AND digest = target))`,
      "DELETE FROM image_references WHERE name LIKE 'docker.io/library/sha256:%'",
    ],
  },
  // A lease has an owner; a client's lease also has an expiry. Older leases all belonged to an earlier start of the engine.
  {
    version: 4,
    up: [
      "ALTER TABLE leases ADD COLUMN engine_start TEXT",
      "ALTER TABLE leases ADD COLUMN client TEXT",
      "ALTER TABLE leases ADD COLUMN expires_at_ms INTEGER CHECK ((client IS NULL) = (expires_at_ms IS NULL))",
    ],
  },
  // Layers that were committed without a tar: diff_id is empty until somebody asks for it. true_chain is the id from the DiffIds of the chain,
  // NULL while one is missing; chain_id does not change. Writable layers have an owner, and a directory whose name may differ from their key.
  {
    version: 5,
    up: [
      "ALTER TABLE layers ADD COLUMN true_chain TEXT",
      "ALTER TABLE layers ADD COLUMN tar_size INTEGER",
      "UPDATE layers SET true_chain = chain_id",
      "CREATE INDEX layers_by_true_chain ON layers (true_chain)",
      "ALTER TABLE container_layers ADD COLUMN kind TEXT NOT NULL DEFAULT 'active' CHECK (kind IN ('active', 'view'))",
      "ALTER TABLE container_layers ADD COLUMN owner TEXT NOT NULL DEFAULT 'container'",
      "ALTER TABLE container_layers ADD COLUMN directory TEXT",
    ],
  },
  // A name points to a descriptor and holds the stored parts of it. Older names point to the descriptor with which they were pulled, or to the
  // image's own manifest, or to its config when it has no manifest. Their media types are not in the database: `completeNames` writes them
  // (images/complete-names.ts).
  {
    version: 6,
    up: [
      "CREATE TABLE image_names (name TEXT PRIMARY KEY, target TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL) STRICT, WITHOUT ROWID",
      `CREATE TABLE image_name_images (
        name TEXT NOT NULL REFERENCES image_names (name) ON DELETE CASCADE, position INTEGER NOT NULL,
        image TEXT NOT NULL REFERENCES images (id), PRIMARY KEY (name, image)
      ) STRICT, WITHOUT ROWID`,
      "CREATE INDEX image_name_images_by_image ON image_name_images (image)",
      `CREATE TABLE image_name_content (
        name TEXT NOT NULL REFERENCES image_names (name) ON DELETE CASCADE, digest TEXT NOT NULL, PRIMARY KEY (name, digest)
      ) STRICT, WITHOUT ROWID`,
      `INSERT INTO image_names (name, target, media_type, size)
        SELECT name, COALESCE(target, (
          SELECT digest FROM image_blobs WHERE image_blobs.image = image_references.image AND kind = 'manifest' ORDER BY position LIMIT 1
        ), image), '', 0 FROM image_references`,
      "INSERT INTO image_name_images (name, position, image) SELECT name, 0, image FROM image_references",
      "DROP TABLE image_references",
    ],
  },
];
