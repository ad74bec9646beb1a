/**
 * What a writable layer changes, as `docker diff` shows it: the upper directory is compared, name by name, with what the layers
 * below show. Whiteouts and opaque directories count in the lower layers too.
 */
import type { Stat, Sys } from "@fathom/sys";
import type { Change, ChangeKind } from "./contract.ts";
import { isMountStub } from "./mount-stubs.ts";
import { isDirectory, isOpaque, isWhiteout, openChild, openRoot, statChild, walkTree } from "./tree.ts";

const modified = 0;
const added = 1;
const deleted = 2;

/** A directory of the upper layer, with the directories below that it is merged with, the uppermost first. */
interface Level {
  readonly path: string;
  readonly lower: readonly number[];
  /** In no layer below: its children are all new. */
  readonly isNew: boolean;
  /** A mount stub lies in it: a changed time alone then says nothing. */
  hasStub: boolean;
  timeChanged: boolean;
  readonly parent: Level | undefined;
}

export async function changesOf(sys: Sys, upper: string, lowerPaths: readonly string[]): Promise<Change[]> {
  const found = new Map<string, ChangeKind>();
  const rootFd = openRoot(sys, upper);
  const lowerRoots: number[] = [];
  try {
    for (const path of lowerPaths) lowerRoots.push(openRoot(sys, path));
    const root: Level = {
      path: "",
      lower: lowerRoots,
      isNew: false,
      hasStub: false,
      timeChanged: false,
      parent: undefined,
    };

    const record = (level: Level, path: string, kind: ChangeKind): void => {
      // Stubs that hold something are real after all, and a name that came or went changed its directory.
      for (let at: Level = level; at.parent !== undefined && !found.has(at.path); at = at.parent) {
        if (at.isNew) found.set(at.path, added);
        else {
          if (kind !== modified || at.timeChanged) found.set(at.path, modified);
          break;
        }
      }
      found.set(path, kind);
    };

    await walkTree<Level>(sys, rootFd, root, {
      enter({ dirFd, name, path, stat }, level, childFd) {
        const below = lookup(sys, level.lower, name);
        if (isWhiteout(stat)) {
          if (below !== undefined) record(level, path, deleted);
          return level;
        }
        if (below === undefined && isMountStub(path, stat)) level.hasStub = true;
        else if (below === undefined) record(level, path, added);
        else if (!isDirectory(stat) || !isDirectory(below)) record(level, path, modified);
        else if (stat.mode !== below.mode || stat.uid !== below.uid || stat.gid !== below.gid)
          record(level, path, modified);
        if (childFd === undefined) return level;

        const mergesBelow = below !== undefined && isDirectory(below);
        const inner: Level = {
          path,
          lower: mergesBelow ? openMerged(sys, level.lower, name) : [],
          isNew: below === undefined,
          hasStub: false,
          timeChanged: mergesBelow && stat.mtimeNs !== below.mtimeNs,
          parent: level,
        };
        if (mergesBelow && isOpaque(sys, dirFd, name)) {
          const present = new Set(
            sys.readDirectory(childFd).map((entry) => Buffer.from(entry.name).toString("latin1")),
          );
          for (const gone of mergedNames(sys, inner.lower))
            if (!present.has(gone)) record(inner, `${path}/${gone}`, deleted);
        }
        return inner;
      },
      leave(level) {
        if (level.timeChanged && !level.hasStub && !found.has(level.path)) found.set(level.path, modified);
        for (const fd of level.lower) sys.close(fd);
      },
    });
  } finally {
    for (const fd of lowerRoots) sys.close(fd);
    sys.close(rootFd);
  }
  return [...found]
    .map(([path, kind]) => ({ path: `/${Buffer.from(path, "latin1").toString("utf8")}`, kind }))
    .sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** What the layers below show under a name; undefined when there is nothing, or it was removed there. */
function lookup(sys: Sys, lower: readonly number[], name: Uint8Array): Stat | undefined {
  for (const dirFd of lower) {
    const stat = statChild(sys, dirFd, name);
    if (stat === undefined) continue;
    return isWhiteout(stat) ? undefined : stat;
  }
  return undefined;
}

/** Descriptors of the directories that a name merges below: until something else, a whiteout or an opaque directory ends it. */
function openMerged(sys: Sys, lower: readonly number[], name: Uint8Array): number[] {
  const merged: number[] = [];
  for (const dirFd of lower) {
    const stat = statChild(sys, dirFd, name);
    if (stat === undefined) continue;
    if (!isDirectory(stat)) break;
    const fd = openChild(sys, dirFd, name);
    if (fd === undefined) break;
    merged.push(fd);
    if (isOpaque(sys, dirFd, name)) break;
  }
  return merged;
}

/** Names that a merged directory shows. */
function mergedNames(sys: Sys, lower: readonly number[]): string[] {
  const decided = new Map<string, boolean>();
  for (const dirFd of lower) {
    for (const { name } of sys.readDirectory(dirFd)) {
      const key = Buffer.from(name).toString("latin1");
      if (decided.has(key)) continue;
      const stat = statChild(sys, dirFd, name);
      if (stat !== undefined) decided.set(key, !isWhiteout(stat));
    }
  }
  return [...decided].filter(([, shown]) => shown).map(([name]) => name);
}
