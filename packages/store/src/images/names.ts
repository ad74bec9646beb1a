/** Rows of names: the target of each, and what the name holds of it. */
import { EngineError } from "@fathom/base";
import { parseDigest, parseReference, refuseAmbiguousName, refuseAsTag, type Digest } from "@fathom/spec";
import type { Database, NamedImage } from "../contract.ts";
import { numberColumn, optionalText, textColumn, type Row } from "../database/rows.ts";

/** A list as one column: digests have no commas. */
const columns = `name, target, media_type, size,
  (SELECT group_concat(image) FROM (SELECT image FROM image_name_images AS held WHERE held.name = image_names.name ORDER BY position)) AS images,
  (SELECT group_concat(digest) FROM (SELECT digest FROM image_name_content AS held WHERE held.name = image_names.name ORDER BY digest)) AS content`;

export function allNames(database: Database): NamedImage[] {
  return database.all(`SELECT ${columns} FROM image_names ORDER BY name`).map(toNamed);
}

export function namesThatHold(database: Database, image: Digest): NamedImage[] {
  const held = `SELECT name FROM image_name_images WHERE image = ?`;
  return database.all(`SELECT ${columns} FROM image_names WHERE name IN (${held}) ORDER BY name`, image).map(toNamed);
}

export function findName(database: Database, name: string): NamedImage | undefined {
  const row = database.get(`SELECT ${columns} FROM image_names WHERE name = ?`, name);
  return row === undefined ? undefined : toNamed(row);
}

function toNamed(row: Row): NamedImage {
  const name = textColumn(row, "name");
  const [shown, ...others] = digestList(row, "images");
  if (shown === undefined) throw new EngineError("data-loss", `database: the name ${name} holds no image`);
  return {
    name,
    target: {
      mediaType: textColumn(row, "media_type"),
      digest: parseDigest(textColumn(row, "target")),
      size: numberColumn(row, "size"),
    },
    images: [shown, ...others],
    content: digestList(row, "content"),
  };
}

function digestList(row: Row, name: string): Digest[] {
  return (optionalText(row, name)?.split(",") ?? []).map(parseDigest);
}

/** In a transaction. @throws as `ImageStore.tag` */
export function writeName(database: Database, named: NamedImage): void {
  const { name, target, images, content } = named;
  for (const id of images)
    if (database.get("SELECT 1 AS found FROM images WHERE id = ?", id) === undefined)
      throw new EngineError("not-found", `No such image: ${id}`);
  for (const digest of content)
    if (database.get("SELECT 1 AS found FROM blobs WHERE digest = ?", digest) === undefined)
      throw new EngineError("not-found", `the name ${name} cannot hold the content ${digest}, which is not stored`);
  checkName(database, named);
  database.run("DELETE FROM image_names WHERE name = ?", name);
  database.run(
    "INSERT INTO image_names (name, target, media_type, size) VALUES (?, ?, ?, ?)",
    name,
    target.digest,
    target.mediaType,
    target.size,
  );
  images.forEach((id, position) =>
    database.run("INSERT INTO image_name_images (name, position, image) VALUES (?, ?, ?)", name, position, id),
  );
  for (const digest of new Set(content))
    database.run("INSERT INTO image_name_content (name, digest) VALUES (?, ?)", name, digest);
}

/**
 * The final check of every name, for every source of names: "name@digest" is only for an image that has a manifest with that digest, and the
 * digest must be the name's target.
 */
function checkName(database: Database, { name, images: [image], target }: NamedImage): void {
  const reference = parseReference(name);
  if (reference.digest === undefined) return refuseAsTag(reference);
  refuseAmbiguousName(reference);
  const own = database.get(
    "SELECT 1 AS found FROM image_blobs WHERE image = ? AND kind = 'manifest' AND digest = ?",
    image,
    reference.digest,
  );
  if (own === undefined || target.digest !== reference.digest || reference.tag !== undefined)
    throw new EngineError(
      "invalid-argument",
      `${name} cannot name image ${image}, which has no manifest with this digest`,
    );
}
