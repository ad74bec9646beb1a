/**
 * Tables of the store. A migration is never edited once it was released: a change is a new one.
 *
 * `boot` holds the kernel's boot id while what the row names may still be in the page cache only, and NULL once it is known to be
 * on disk. After a power loss the ids differ, and recovery looks at those rows again (recover.ts).
 */
import type { Migration } from "../contract.ts";

export const storeMigrations: readonly Migration[] = [
  {
    version: 1,
    up: [
      "CREATE TABLE leases (id TEXT PRIMARY KEY, label TEXT NOT NULL, created_at TEXT NOT NULL) STRICT, WITHOUT ROWID",
      // `inode` tells a file that was written again, and is not recorded yet, from the one that this row was made for.
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
  // The image that one was committed over; it is not removed before it.
  {
    version: 2,
    up: [
      "ALTER TABLE images ADD COLUMN parent TEXT REFERENCES images (id)",
      "CREATE INDEX images_by_parent ON images (parent)",
    ],
  },
  // Names by digest that an archive had claimed for itself: only content that has the digest gives it.
  {
    version: 3,
    up: [
      `DELETE FROM image_references WHERE instr(name, '@') > 0 AND (
        target IS NULL OR substr(name, instr(name, '@') + 1) <> target OR NOT EXISTS (
          SELECT 1 FROM image_blobs WHERE image = image_references.image AND kind = 'manifest' AND digest = target))`,
      "DELETE FROM image_references WHERE name LIKE 'docker.io/library/sha256:%'",
    ],
  },
  // A lease has an owner, and a client's an end. Those from before were all of the engine, of an earlier start.
  {
    version: 4,
    up: [
      "ALTER TABLE leases ADD COLUMN engine_start TEXT",
      "ALTER TABLE leases ADD COLUMN client TEXT",
      "ALTER TABLE leases ADD COLUMN expires_at_ms INTEGER CHECK ((client IS NULL) = (expires_at_ms IS NULL))",
    ],
  },
  // Layers that were committed without a tar: diff_id is empty until somebody asks for it. true_chain is the id that the DiffIds of the chain give, NULL
  // while one is missing; chain_id stays as it was. Writable layers have an owner, and a directory that may have another name than their key.
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
  // A name points to a descriptor, and holds what of it is here. Names from before point to what they were pulled by, or to the image's own manifest, or to its config where
  // it has none. Their media types are not in the database: `completeNames` writes them (images/complete-names.ts).
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
