/**
 * The changes of a writable layer, as `docker diff` shows them: the upper directory is compared, name by name, with what the layers below show.
 * Whiteouts and opaque directories also count in the lower layers. As in Docker, a directory is changed when an entry in it is, but not when
 * only its time is. A file that was copied up without changes is no change.
 */
import type { Stat, Sys } from "@fathom/sys";
import type { Change, ChangeKind } from "../contract.ts";
import { isMountStub } from "./mount-stubs.ts";
import { isDirectory, isOpaque, isWhiteout, lookup, openMerged, openRoot, statChild, walkTree } from "./tree.ts";

const modified = 0;
const added = 1;
const deleted = 2;

/** A directory of the upper layer, and the directories below with which it is merged, the uppermost first. */
interface Level {
  readonly path: string;
  readonly lower: readonly number[];
  /** It is in no layer below, so its children are all new. */
  readonly isNew: boolean;
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
      parent: undefined,
    };

    const record = (level: Level, path: string, kind: ChangeKind): void => {
      // Stubs with content are real changes.
      for (let at: Level = level; at.parent !== undefined && !found.has(at.path); at = at.parent)
        found.set(at.path, at.isNew ? added : modified);
      found.set(path, kind);
    };

    await walkTree<Level>(sys, rootFd, root, {
      enter({ dirFd, name, path, stat }, level, childFd) {
        const below = lookup(sys, level.lower, name);
        if (isWhiteout(stat)) {
          if (below !== undefined) record(level, path, deleted);
          return level;
        }
        if (below === undefined) {
          if (!isMountStub(path, stat)) record(level, path, added);
        } else if (differs(stat, below.stat) || !sameCapability(sys, dirFd, below.dirFd, name))
          record(level, path, modified);
        if (childFd === undefined) return level;

        const mergesBelow = below !== undefined && isDirectory(below.stat);
        const inner: Level = {
          path,
          lower: mergesBelow ? openMerged(sys, level.lower, name) : [],
          isNew: below === undefined,
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

function differs(a: Stat, b: Stat): boolean {
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid) return true;
  if (a.rdevMajor !== b.rdevMajor || a.rdevMinor !== b.rdevMinor) return true;
  return !isDirectory(a) && (a.size !== b.size || a.mtimeNs !== b.mtimeNs);
}

function sameCapability(sys: Sys, upper: number, lower: number, name: Uint8Array): boolean {
  const [a, b] = [upper, lower].map((dirFd) => sys.getxattrat(dirFd, name, "security.capability"));
  return Buffer.compare(a ?? Buffer.alloc(0), b ?? Buffer.alloc(0)) === 0;
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
