/** The bytes that the collector removes: blobs and layer directories of the store on disk. */
import { linkSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { randomId } from "@fathom/base";
import type { Digest } from "@fathom/spec";
import { inodeMark } from "../content/content.ts";
import { blobPath, temporaryDirectory } from "../content/content-writer.ts";
import type { OverlayLayout } from "../snapshots/layout.ts";
import type { Trash } from "../trash.ts";
import type { GarbageFiles } from "./collector.ts";

export function storeFiles(root: string, layout: OverlayLayout, trash: Trash): GarbageFiles {
  return {
    inode: (digest) => inodeMark(blobPath(root, digest)),
    remove(blobs, layers) {
      for (const { cacheId, link } of layers) layout.discard(cacheId, link);
      for (const { digest, inode } of blobs) unlinkBlob(root, digest, inode);
      trash.empty();
    },
  };
}

/**
 * Between the check and the unlink, another thread may rename a new file over this one. So the file is first renamed aside, and put back if it
 * is another one.
 */
function unlinkBlob(root: string, digest: Digest, inode: string): void {
  const path = blobPath(root, digest);
  const aside = join(temporaryDirectory(root), randomId());
  try {
    renameSync(path, aside);
  } catch {
    return; // Removed already.
  }
  const taken = statSync(aside, { bigint: true });
  if (`${taken.ino}` !== inode.split(":")[0]) {
    try {
      linkSync(aside, path);
    } catch {
      // Another thread stored a third one meanwhile, which is as good.
    }
  }
  rmSync(aside, { force: true });
}
