/** The requests and answers of `fathom-init call read-tree`: the other side is native/init/calls/read-tree.c. */
import type { Stat } from "../contract.ts";

/** What to read of a path; numbers are those of native/init/calls/read-tree.c. */
export const treeWants = {
  /** The kind of the entry; a symlink is not followed. */
  stat: 0,
  /** The target of a symlink, with the content of a file. */
  file: 1 | 8,
  /** Everything below it, with contents and xattrs. */
  tree: 1 | 2,
  /** The same, but of a mount in it only the mount point. */
  mount: 1 | 2 | 4,
  /** Everything below it, without contents; of a mount in it only the mount point. */
  sizes: 2 | 4,
} as const;

export interface ReadEntry extends Pick<
  Stat,
  "mode" | "nlink" | "uid" | "gid" | "rdevMajor" | "rdevMinor" | "size" | "mtimeNs" | "ctimeNs"
> {
  /** Distinguishes one file from another. */
  readonly identity: string;
  /** It is on another mount. Content, xattrs and entries below were not read, and the numbers may be old. */
  readonly foreign: boolean;
  /** Relative to the requested path, which is "" itself. */
  readonly path: Uint8Array;
  /** Target of a symlink. */
  readonly target: Uint8Array;
  readonly xattrs: readonly { readonly name: string; readonly value: Uint8Array }[];
}

/** Kinds of frames: u32 length, u32 kind, and then the bytes. */
export const frames = { xattr: 1, entry: 2, data: 3, contentEnd: 4, alive: 5, end: 6, error: 7 } as const;
export const frameHeadBytes = 8;
const entryHeadBytes = 80;

/** `struct entry_head` of native/init/calls/read-tree.c, the path, the target of a symlink. */
export function parseEntry(bytes: Buffer, xattrs: ReadEntry["xattrs"]): ReadEntry {
  const u32 = (at: number): number => bytes.readUInt32LE(at);
  const timeNs = (at: number, nanosecondsAt: number): bigint =>
    bytes.readBigInt64LE(at) * 1_000_000_000n + BigInt(u32(nanosecondsAt));
  const pathEnd = entryHeadBytes + u32(76);
  return {
    mode: u32(0),
    nlink: u32(4),
    uid: u32(8),
    gid: u32(12),
    rdevMajor: u32(16),
    rdevMinor: u32(20),
    identity: `${u32(24)}:${u32(28)}:${bytes.readBigUInt64LE(32)}`,
    size: bytes.readBigUInt64LE(40),
    mtimeNs: timeNs(48, 64),
    ctimeNs: timeNs(56, 68),
    foreign: u32(72) !== 0,
    path: bytes.subarray(entryHeadBytes, pathEnd),
    target: bytes.subarray(pathEnd),
    xattrs,
  };
}
