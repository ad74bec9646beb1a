/** Bytes in a tree. */
import type { Sys } from "@fathom/sys";
import { isMountStub } from "./mount-stubs.ts";
import { isDirectory, openRoot, walkTree } from "./tree.ts";

/** Sum of the apparent sizes of all files, without directories and mount stubs; a file with several names counts once. */
export async function diskUsage(sys: Sys, path: string): Promise<number> {
  const seen = new Set<string>();
  let sum = 0n;
  const rootFd = openRoot(sys, path);
  try {
    await walkTree(sys, rootFd, undefined, {
      enter({ path, stat }) {
        if (isDirectory(stat) || isMountStub(path, stat)) return;
        if (stat.nlink > 1) {
          const key = `${stat.dev}:${stat.ino}`;
          if (seen.has(key)) return;
          seen.add(key);
        }
        sum += stat.size;
      },
    });
  } finally {
    sys.close(rootFd);
  }
  return Number(sum);
}
