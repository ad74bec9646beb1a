/** Bytes that a tree of a container uses; hard links count once, other mounts do not count. */
import { FileSizes, S_IFDIR, S_IFMT, type ReadTree } from "@fathom/sys";

/** @throws as `ReadTree`, because an administrator may have mounted another file system there */
export async function treeSize(readTree: ReadTree, path: string): Promise<number> {
  using reading = readTree({ root: path, path: ".", wants: "sizes", what: path, key: path });
  const sizes = new FileSizes();
  for (let entry = await reading.next(); entry !== undefined; entry = await reading.next()) {
    if (entry.foreign || (entry.mode & S_IFMT) === S_IFDIR) continue;
    sizes.add(entry.nlink, entry.identity, entry.size);
  }
  return sizes.sum;
}
