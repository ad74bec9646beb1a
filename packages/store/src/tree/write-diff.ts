/**
 * A writable layer as a layer tar (image-spec layer.md): whiteouts become `.wh.NAME`, opaque directories contain `.wh..wh..opq`, hard links
 * stay links. Names are in byte order, so the same layer gives the same tar.
 */
import { TarWriter, TreeWriter, treeEntry } from "@fathom/archive";
import { parseDiffId, type DiffId } from "@fathom/spec";
import { openEntry, openForReading, type OpenEntry, type Stat, type Sys } from "@fathom/sys";
import { readLayerXattrs } from "./layer-xattr.ts";
import { isMountStub, stubParents } from "./mount-stubs.ts";
import { isDirectory, isOpaque, isWhiteout, lookup, openRoot, walkTree, type TreeEntry } from "./tree.ts";

const readBytes = 256 * 1024;

/** A directory that is not written yet: it is written only when something in it is. */
interface Held {
  write: (() => void) | undefined;
  readonly parent: Held | undefined;
}

function release(held: Held | undefined): void {
  if (held === undefined) return;
  release(held.parent);
  held.write?.();
  held.write = undefined;
}

/**
 * @param lowerPaths The layers below, the uppermost first.
 * @param sink Receives the tar in order; it may keep the chunks.
 */
export async function writeLayerDiff(
  sys: Sys,
  diffPath: string,
  lowerPaths: readonly string[],
  sink: (chunk: Uint8Array) => void | Promise<void>,
): Promise<{ diffId: DiffId; size: number }> {
  const hasher = new Bun.CryptoHasher("sha256");
  let size = 0;
  let queue: Uint8Array[] = [];
  const tar = new TarWriter((chunk) => queue.push(chunk));

  async function flush(): Promise<void> {
    const chunks = queue;
    queue = [];
    for (const chunk of chunks) {
      hasher.update(chunk);
      size += chunk.length;
      await sink(chunk);
    }
  }

  const files = new TreeWriter(tar);
  const rootFd = openRoot(sys, diffPath);
  const lower: number[] = [];
  // Made for a mount, or as the parent of a mount point, and otherwise unchanged.
  const holdsNothing = (name: Uint8Array, path: string, stat: Stat): boolean => {
    if (!stubParents.has(path)) return isMountStub(path, stat);
    const below = lookup(sys, lower, name)?.stat;
    if (below === undefined) return isMountStub(path, stat);
    return below.mode === stat.mode && below.uid === stat.uid && below.gid === stat.gid;
  };

  async function write(
    entry: OpenEntry,
    { name, path }: TreeEntry,
    parent: Held | undefined,
  ): Promise<Held | undefined> {
    const { fd, stat } = entry;
    const bytes = Buffer.from(path, "latin1");
    if (isWhiteout(stat)) {
      release(parent);
      tar.entry({ kind: "file", path: whiteoutPath(bytes), mode: 0 });
      return undefined;
    }
    const input = treeEntry(bytes, stat, readLayerXattrs(sys, fd, ""));
    // A tar cannot contain sockets.
    if (input === undefined || (input.kind !== "directory" && isMountStub(path, stat))) return undefined;
    if (input.kind === "directory") {
      const opaque = isOpaque(sys, fd, "");
      const held: Held = {
        write() {
          tar.entry(input);
          if (opaque) tar.entry({ kind: "file", path: Buffer.concat([bytes, Buffer.from("/.wh..wh..opq")]), mode: 0 });
        },
        parent,
      };
      if (opaque || !holdsNothing(name, path, stat)) release(held);
      return held;
    }
    release(parent);
    if (files.write(input, stat, `${stat.dev}:${stat.ino}`, () => sys.readlinkat(fd, "")))
      await writeContent(sys, entry, tar, files, flush);
    return undefined;
  }

  try {
    for (const path of lowerPaths) lower.push(openRoot(sys, path));
    await walkTree<Held | undefined>(sys, rootFd, undefined, {
      async enter(found, parent, childFd) {
        // From here on, the entry itself: another entry may have its name by now.
        const entry =
          childFd === undefined ? openEntry(sys, found.dirFd, found.name) : { fd: childFd, stat: sys.fstat(childFd) };
        if (entry === undefined) return undefined;
        try {
          // A directory that was something else a moment ago was not entered.
          if (childFd === undefined && isDirectory(entry.stat)) return undefined;
          return await write(entry, found, parent);
        } finally {
          if (childFd === undefined) sys.close(entry.fd);
          await flush();
        }
      },
    });
  } finally {
    for (const fd of lower) sys.close(fd);
    sys.close(rootFd);
  }
  tar.finish();
  await flush();
  return { diffId: parseDiffId(`sha256:${hasher.digest("hex")}`), size };
}

function whiteoutPath(path: Buffer): Buffer {
  const slash = path.lastIndexOf(0x2f) + 1;
  return Buffer.concat([path.subarray(0, slash), Buffer.from(".wh."), path.subarray(slash)]);
}

/** If a file becomes shorter meanwhile, zeros fill the rest; if it grows, it is cut, because the header is already sent. */
async function writeContent(
  sys: Sys,
  entry: OpenEntry,
  tar: TarWriter,
  files: TreeWriter,
  flush: () => Promise<void>,
): Promise<void> {
  const fd = openForReading(sys, entry.fd);
  try {
    while (tar.remaining > 0) {
      const buffer = new Uint8Array(Math.min(readBytes, tar.remaining));
      const count = sys.read(fd, buffer);
      if (count <= 0) break;
      tar.data(buffer.subarray(0, count));
      await flush();
    }
    while (files.fill()) await flush();
  } finally {
    sys.close(fd);
  }
}
