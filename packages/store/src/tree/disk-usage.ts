/** Bytes in a tree. */
import { FileSizes, type Sys } from "@fathom/sys";
import { isMountStub } from "./mount-stubs.ts";
import { isDirectory, openRoot, walkTree } from "./tree.ts";

/** Sum of the apparent sizes of all files, without directories and mount stubs; a file with several names counts once. */
export async function diskUsage(sys: Sys, path: string): Promise<number> {
  const sizes = new FileSizes();
  const rootFd = openRoot(sys, path);
  try {
    await walkTree(sys, rootFd, undefined, {
      enter({ path, stat }) {
        if (isDirectory(stat) || isMountStub(path, stat)) return;
        sizes.add(stat.nlink, `${stat.dev}:${stat.ino}`, stat.size);
      },
    });
  } finally {
    sys.close(rootFd);
  }
  return sizes.sum;
}
