/** The entries that a COPY or ADD writes, from the trees that it reads: the same list gives the digest for the cache and the files in the image. */
import type { HostFiles, ReadEntry, Sys, TreeReading, WriteEntry, WriteXattr } from "@fathom/sys";
import { S_IFDIR, S_IFMT, S_IFREG } from "@fathom/sys";
import { belongsToFile, type Owner } from "@fathom/store";
import type { FoundSource, SourceTree } from "./source-tree.ts";

export interface CopyRules {
  /** undefined: as the tree says, and root for files of the context. */
  readonly owner: Owner | undefined;
  /** Permission bits of everything; undefined: as the tree says. */
  readonly mode: number | undefined;
}

export interface CopiedEntry {
  readonly entry: WriteEntry;
  readonly xattrs: readonly WriteXattr[];
  /** Of a regular file. */
  readonly content: AsyncIterable<Uint8Array> | undefined;
}

export interface ReadParts {
  readonly sys: Sys;
  readonly files: HostFiles;
  readonly signal: AbortSignal;
}

const setIds = 0o6000;

export function readSource({ files, signal }: ReadParts, tree: SourceTree, { path, name }: FoundSource): TreeReading {
  return files.readTree({
    root: ".",
    base: tree.rootFd,
    path: path === "" ? "." : path,
    wants: "tree",
    what: `${name === "" ? "/" : name} of the build`,
    key: "build",
    signal,
  });
}

/** @param prefix The place of the source's own entry; undefined: it is a directory whose content goes to the top. */
export async function* copiedEntries(
  reading: TreeReading,
  tree: SourceTree,
  prefix: string | undefined,
  rules: CopyRules,
): AsyncGenerator<CopiedEntry> {
  const names = new Map<string, Uint8Array>();
  for (let read = await reading.next(); read !== undefined; read = await reading.next()) {
    const path = joined(prefix, read.path);
    if (path.length === 0) continue;
    const regular = (read.mode & S_IFMT) === S_IFREG;
    const first = read.nlink > 1 && regular ? names.get(read.identity) : undefined;
    if (first === undefined && regular) names.set(read.identity, path);
    yield {
      entry: { ...written(read, tree, rules), path, target: first ?? read.target, hardLink: first !== undefined },
      xattrs: first === undefined ? read.xattrs.filter(belongsToFile) : [],
      content: regular && first === undefined ? reading.content() : undefined,
    };
  }
}

function written(
  read: ReadEntry,
  tree: SourceTree,
  { owner, mode }: CopyRules,
): Omit<WriteEntry, "path" | "target" | "hardLink"> {
  const type = read.mode & S_IFMT;
  const own = tree.kind === "image" ? { uid: read.uid, gid: read.gid } : { uid: 0, gid: 0 };
  const bits = read.mode & 0o7777 & (tree.kind !== "image" && type !== S_IFDIR ? ~setIds : ~0);
  return {
    mode: type | (mode ?? bits),
    ...(owner ?? own),
    mtimeNs: read.mtimeNs,
    size: Number(read.size),
    rdevMajor: read.rdevMajor,
    rdevMinor: read.rdevMinor,
  };
}

function joined(prefix: string | undefined, path: Uint8Array): Uint8Array {
  if (prefix === undefined) return path;
  const start = Buffer.from(prefix, "utf8");
  return path.length === 0 ? start : Buffer.concat([start, Buffer.from("/"), path]);
}

/** Adds the entry to the digest: everything of it except times. */
export async function digestEntry(hasher: Bun.CryptoHasher, { entry, xattrs, content }: CopiedEntry): Promise<void> {
  const { mode, uid, gid, size, hardLink, rdevMajor, rdevMinor } = entry;
  const regular = (mode & S_IFMT) === S_IFREG;
  hasher.update(
    JSON.stringify([
      Buffer.from(entry.path).toString("latin1"),
      mode,
      uid,
      gid,
      regular ? size : 0,
      hardLink,
      rdevMajor,
      rdevMinor,
      Buffer.from(entry.target).toString("latin1"),
      xattrs.map(({ name, value }) => [name, Buffer.from(value).toString("base64")]),
    ]),
  );
  for await (const bytes of content ?? []) hasher.update(bytes);
}
