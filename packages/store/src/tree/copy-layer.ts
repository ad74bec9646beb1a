/**
 * Copies a writable layer into an image layer while its owner continues to use it: the tar of the changes is written, hashed and unpacked in
 * one pass, without a file in between.
 *
 * Why through the tar: the image's config needs the DiffId, the digest of the tar, so all bytes are read as a tar in any case. A copy of the
 * directory would be a second walk, and its tar could differ from the copy. Hard links to the files are impossible, because the container
 * continues to write to them, and a reflink needs a file system that has it.
 */
import type { Sys } from "@fathom/sys";
import type { LayerCopy, UnpackedLayer } from "../contract.ts";
import { createLayerUnpacker } from "../unpack/unpack.ts";
import { writeLayerDiff } from "./write-diff.ts";

/**
 * @param tar Also receives the tar; it may keep the chunks.
 * @throws as `writeLayerDiff` and `LayerUnpacker`; then the owner of the target must remove its content
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
