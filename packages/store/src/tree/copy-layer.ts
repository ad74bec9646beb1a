/**
 * A writable layer copied into an image layer, while its owner goes on: the tar of what was changed is written, hashed and unpacked in one pass, without a file in between.
 *
 * Why through the tar: the image's config needs the DiffId, the digest of the tar, so all bytes are read as a tar in any case. A copy of the directory would be a second walk, and its tar could differ
 * from what was copied. Hard links to the files are out of the question, because the container goes on writing to them, and a reflink needs a file system that has it.
 */
import type { Sys } from "@fathom/sys";
import type { LayerCopy, UnpackedLayer } from "../contract.ts";
import { createLayerUnpacker } from "../unpack/unpack.ts";
import { writeLayerDiff } from "./write-diff.ts";

/**
 * @param tar Gets the tar too; it may keep the chunks.
 * @throws as `writeLayerDiff` and `LayerUnpacker`; what is in the target then is its owner's to remove
 */
export async function copyLayer(
  sys: Sys,
  { diffPath, lowerPaths, targetPath }: LayerCopy,
  tar: (chunk: Uint8Array) => void | Promise<void> = () => undefined,
): Promise<UnpackedLayer> {
  const unpacker = createLayerUnpacker(sys, targetPath);
  try {
    await writeLayerDiff(sys, diffPath, lowerPaths, (chunk) => {
      unpacker.write(chunk);
      return tar(chunk);
    });
    return unpacker.finish();
  } finally {
    unpacker.abort();
  }
}
