/** Reads /etc/passwd and /etc/group of a container's root, never of the host: a link in the image ends inside the image. */
import { EngineError } from "@fathom/base";
import { AT_FDCWD, type Sys } from "@fathom/sys";
import type { UserFiles } from "./user.ts";

type FileSys = Pick<Sys, "openat2" | "fstat" | "read" | "close">;

// O_RDONLY | O_NONBLOCK | O_CLOEXEC: the file may be a FIFO, and must not stop the daemon.
const openFlags = 0o2_004_000;
// O_PATH | O_DIRECTORY | O_CLOEXEC
const directoryFlags = 0o12_200_000;
/** RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS */
const inRoot = 0x10 | 0x02;
const typeMask = 0o170_000;
const regularFile = 0o100_000;
/** Far above any real one; it is read into memory at each start. */
const largestFileBytes = 16 << 20;

export function readUserFiles(sys: FileSys, rootFd: number): UserFiles {
  return { passwd: readText(sys, rootFd, "etc/passwd"), group: readText(sys, rootFd, "etc/group") };
}

/** Of a running container, by its first process. */
export function readUserFilesOf(sys: FileSys, pid: number): UserFiles {
  const root = sys.openat2(AT_FDCWD, `/proc/${pid}/root`, { flags: directoryFlags });
  try {
    return readUserFiles(sys, root);
  } finally {
    sys.close(root);
  }
}

function readText(sys: FileSys, rootFd: number, path: string): string | undefined {
  let fd: number;
  try {
    fd = sys.openat2(rootFd, path, { flags: openFlags, resolve: inRoot });
  } catch {
    // Missing, or no file that can be read: images without users are common.
    return undefined;
  }
  try {
    const { mode, size } = sys.fstat(fd);
    if ((mode & typeMask) !== regularFile) return undefined;
    if (size > BigInt(largestFileBytes))
      throw new EngineError(
        "resource-exhausted",
        `the image's /${path} has ${size} bytes, more than ${largestFileBytes}`,
      );
    return readAll(sys, fd);
  } finally {
    sys.close(fd);
  }
}

function readAll(sys: FileSys, fd: number): string {
  const chunks: Uint8Array[] = [];
  for (let total = 0; total <= largestFileBytes;) {
    const buffer = new Uint8Array(64 << 10);
    const count = sys.read(fd, buffer);
    if (count <= 0) break;
    chunks.push(buffer.subarray(0, count));
    total += count;
  }
  return Buffer.concat(chunks).toString("utf8");
}
