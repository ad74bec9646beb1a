/** Names from before names had descriptors: the type and the size of what they point to are in the content store. */
import type { Logger } from "@fathom/base";
import { maxManifestBytes, mediaTypes, parseDigest, parseManifest, type Digest } from "@fathom/spec";
import type { ContentStore, Database, ImageTarget } from "../contract.ts";
import { textColumn } from "../database/rows.ts";

/**
 * A tag whose target cannot be read any more points to a manifest of the shown image, or to its config: the image can still be run. A name by a digest that nothing here has goes.
 */
export function completeNames(database: Database, content: ContentStore, logger: Logger): void {
  const rows = database.all(
    "SELECT name, target, image FROM image_names JOIN image_name_images USING (name) WHERE media_type = '' AND position = 0",
  );
  for (const row of rows) {
    const name = textColumn(row, "name");
    const image = parseDigest(textColumn(row, "image"));
    const wanted = parseDigest(textColumn(row, "target"));
    const manifests = database
      .all("SELECT digest FROM image_blobs WHERE image = ? AND kind = 'manifest' ORDER BY position", image)
      .map((blob) => parseDigest(textColumn(blob, "digest")));
    const target = firstReadable(content, [wanted, ...manifests]) ?? configOf(content, image);
    if (target.digest !== wanted)
      logger.warn("what a name pointed to is gone", { name, target: wanted, now: target.digest });
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
}

function firstReadable(content: ContentStore, digests: readonly Digest[]): ImageTarget | undefined {
  for (const digest of digests) {
    const info = content.info(digest);
    if (info === undefined) continue;
    try {
      return { ...info, mediaType: parseManifest(content.read(digest, maxManifestBytes), undefined).mediaType };
    } catch {
      // The next one.
    }
  }
  return undefined;
}

function configOf(content: ContentStore, image: Digest): ImageTarget {
  return { digest: image, size: content.info(image)?.size ?? 0, mediaType: mediaTypes.ociConfig };
}
