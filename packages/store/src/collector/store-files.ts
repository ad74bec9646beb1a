/** The bytes that the collector frees: blobs and layer directories of the store on disk. */
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
 * Another thread may rename a fresh file over this one between our look and our unlink, so the file is first taken aside, and
 * put back when it turns out to be another one.
 */
function unlinkBlob(root: string, digest: Digest, inode: string): void {
  const path = blobPath(root, digest);
  const aside = join(temporaryDirectory(root), randomId());
  try {
    renameSync(path, aside);
  } catch {
    return; // Gone already.
  }
  const taken = statSync(aside, { bigint: true });
  if (`${taken.ino}` !== inode.split(":")[0]) {
    try {
      linkSync(aside, path);
    } catch {
      // A third one was stored meanwhile: that one is as good.
    }
  }
  rmSync(aside, { force: true });
}
