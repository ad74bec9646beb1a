/** The bytes that the collector removes: blobs and layer directories of the store on disk. */
import { linkSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { isErrno, randomId, Turns } from "@fathom/base";
import type { Digest } from "@fathom/spec";
import { storageError } from "../errors.ts";
import { inodeMark } from "../content/content.ts";
import { blobPath, temporaryDirectory } from "../content/content-writer.ts";
import type { OverlayLayout } from "../snapshots/layout.ts";
import type { Trash } from "../trash.ts";
import type { GarbageFiles } from "./collector.ts";

/** The same work as parsing this many bytes. */
const bytesOfRemoval = 4096;

export function storeFiles(
  root: string,
  layout: Pick<OverlayLayout, "discard">,
  trash: Pick<Trash, "empty">,
): GarbageFiles {
  return {
    inode: (digest) => inodeMark(blobPath(root, digest)),
    async remove(blobs, layers) {
      const turns = new Turns();
      // The rows are gone: a removal that fails must not keep the others from being removed.
      const failures: unknown[] = [];
      const attempt = (remove: () => void): void => {
        try {
          remove();
        } catch (error) {
          failures.push(error);
        }
      };
      for (const { cacheId, link } of layers) {
        attempt(() => layout.discard(cacheId, link));
        await turns.after(bytesOfRemoval);
      }
      for (const { digest, inode } of blobs) {
        attempt(() => unlinkBlob(root, digest, inode));
        await turns.after(bytesOfRemoval);
      }
      attempt(() => trash.empty());
      if (failures.length > 0) throw storageError("remove unused layers and blobs", failures[0]);
    },
  };
}

/**
 * Between the check and the unlink, another thread may rename a new file over this one. So the file is first renamed aside, and put back if it
 * is another one.
 */
function unlinkBlob(root: string, digest: Digest, inode: string): void {
  const path = blobPath(root, digest);
  // Stored again since its row was removed.
  if (inodeMark(path) !== inode) return;
  const aside = join(temporaryDirectory(root), randomId());
  try {
    renameSync(path, aside);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return; // Removed already.
    throw error;
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
