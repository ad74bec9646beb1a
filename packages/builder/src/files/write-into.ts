/** Writes files into a snapshot. The process that writes resolves each path inside the snapshot's root. */
import { posix } from "node:path";
import { EngineError } from "@fathom/base";
import { S_IFDIR, S_IFMT, type TreeWriting, type WriteEntry } from "@fathom/sys";
import type { Owner } from "@fathom/store";
import type { CopiedEntry, ReadParts } from "./copied-entries.ts";
import { isDirectoryStat, placeInRoot } from "./place.ts";

/** Of a directory that nobody named. */
const directoryMode = 0o755;

export interface Destination {
  /** An existing directory of the snapshot. */
  readonly base: string;
  /** Directories below it that must be made. */
  readonly made: readonly string[];
}

/** @throws EngineError when a part of the path is a file */
export function directoryAt(parts: ReadParts, rootFd: number, path: string): Destination {
  const { existing, stat, rest } = placeInRoot(parts.sys, rootFd, path);
  if (!isDirectoryStat(stat))
    throw new EngineError("invalid-argument", `cannot copy to ${path}: /${existing} is not a directory`);
  return { base: existing, made: rest.filter((part) => part !== "..") };
}

/** Where a single file goes: its directory and its name. */
export function fileAt(parts: ReadParts, rootFd: number, path: string, name: string): readonly [Destination, string] {
  const intoDirectory = path.endsWith("/") || path === "";
  const { existing, stat, rest } = placeInRoot(parts.sys, rootFd, path);
  if (intoDirectory || (rest.length === 0 && isDirectoryStat(stat))) return [directoryAt(parts, rootFd, path), name];
  const whole = [existing, ...rest].filter((part) => part !== "").join("/");
  return [directoryAt(parts, rootFd, posix.join("/", posix.dirname(whole))), posix.basename(whole)];
}

/** Starts to write below a destination, and makes its directories. */
export async function openDestination(
  { files, signal }: ReadParts,
  rootFd: number,
  { base, made }: Destination,
  owner: Owner,
): Promise<{ readonly writing: TreeWriting; readonly prefix: string }> {
  const writing = files.writeTree({
    root: ".",
    base: rootFd,
    path: base === "" ? "." : base,
    keepKinds: false,
    what: `/${base} of the build`,
    key: "build",
    signal,
  });
  try {
    await writing.place();
    let prefix = "";
    for (const part of made) {
      prefix = prefix === "" ? part : `${prefix}/${part}`;
      writing.begin(directoryEntry(prefix, owner));
      writing.end([]);
    }
    return { writing, prefix };
  } catch (error) {
    writing[Symbol.dispose]();
    throw error;
  }
}

function directoryEntry(path: string, owner: Owner): WriteEntry {
  return {
    path: Buffer.from(path, "utf8"),
    mode: S_IFDIR | directoryMode,
    ...owner,
    mtimeNs: BigInt(Date.now()) * 1_000_000n,
    size: 0,
    target: Buffer.alloc(0),
    hardLink: false,
    rdevMajor: 0,
    rdevMinor: 0,
  };
}

/** @param prefix Before each path, for entries whose directory was made just now. */
export async function writeEntries(
  writing: TreeWriting,
  prefix: string,
  entries: AsyncIterable<CopiedEntry>,
): Promise<void> {
  const below = (path: Uint8Array): Uint8Array =>
    prefix === "" ? path : Buffer.concat([Buffer.from(`${prefix}/`, "utf8"), path]);
  const directories: WriteEntry[] = [];
  for await (const { entry: relative, xattrs, content } of entries) {
    const target = relative.hardLink ? below(relative.target) : relative.target;
    const entry = { ...relative, path: below(relative.path), target };
    writing.begin(entry);
    let offset = 0;
    for await (const bytes of content ?? []) {
      writing.data(bytes, offset);
      offset += bytes.length;
      await writing.send();
    }
    writing.end(xattrs);
    await writing.send();
    if ((entry.mode & S_IFMT) === S_IFDIR) directories.push(entry);
  }
  for (const directory of directories) writing.times(directory);
}
