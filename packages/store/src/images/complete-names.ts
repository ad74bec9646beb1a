/** Names that are older than descriptors: the content store has the type and the size of their targets. */
import type { Logger } from "@fathom/base";
import { maxManifestBytes, mediaTypes, parseDigest, parseManifest, type Digest } from "@fathom/spec";
import type { ContentStore, Database, ImageTarget } from "../contract.ts";
import { textColumn } from "../database/rows.ts";

/**
 * A tag whose target cannot be read any more now points to a manifest of the shown image, or to its config, so the image can still be run. A
 * name by a digest that nothing here has is removed.
 */
export function completeNames(database: Database, content: ContentStore, logger: Logger): void {
  const rows = database.all(
    "SELECT name, target, image FROM image_names JOIN image_name_images USING (name) WHERE media_type = '' AND position = 0",
  );
  if (rows.length === 0) return;
  // One transaction for all names, because each transaction waits for the disk.
  database.transaction(() => {
    for (const row of rows) {
      const name = textColumn(row, "name");
      const image = parseDigest(textColumn(row, "image"));
      const wanted = parseDigest(textColumn(row, "target"));
      const manifests = database
        .all("SELECT digest FROM image_blobs WHERE image = ? AND kind = 'manifest' ORDER BY position", image)
        .map((blob) => parseDigest(textColumn(blob, "digest")));
      const target = firstReadable(content, [wanted, ...manifests]) ?? configOf(content, image);
      if (target.digest !== wanted)
        logger.warn("the target of a name does not exist any more", { name, target: wanted, now: target.digest });
      if (target.digest !== wanted && name.includes("@")) database.run("DELETE FROM image_names WHERE name = ?", name);
      else
        database.run(
          "UPDATE image_names SET target = ?, media_type = ?, size = ? WHERE name = ?",
          target.digest,
          target.mediaType,
          target.size,
          name,
        );
    }
  });
}

function firstReadable(content: ContentStore, digests: readonly Digest[]): ImageTarget | undefined {
  for (const digest of digests) {
    const info = content.info(digest);
    if (info === undefined) continue;
    try {
      return { ...info, mediaType: parseManifest(content.read(digest, maxManifestBytes), undefined).mediaType };
    } catch {
      // Try the next one.
    }
  }
  return undefined;
}

function configOf(content: ContentStore, image: Digest): ImageTarget {
  return { digest: image, size: content.info(image)?.size ?? 0, mediaType: mediaTypes.ociConfig };
}
