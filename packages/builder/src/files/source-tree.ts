/** Where COPY and ADD read: the context, the files of a stage or an image, or a download. A copy never leaves it. */
import { posix } from "node:path";
import { EngineError } from "@fathom/base";
import { isSysError, O_CLOEXEC, O_DIRECTORY, O_RDONLY, RESOLVE_IN_ROOT, S_IFLNK, S_IFMT, type Sys } from "@fathom/sys";
import { matcherOf } from "./file-pattern.ts";
import { isDirectoryStat, placeInRoot, statIn } from "./place.ts";

/** Its root as a descriptor; disposing closes it. */
export interface SourceTree extends Disposable {
  readonly rootFd: number;
  /** Files of the context belong to root in the image, and have no setuid bits; files of an image keep their owners. */
  readonly kind: "context" | "image" | "download";
}

export interface FoundSource {
  /** Without symlinks, relative to the root; "" is the root itself. */
  readonly path: string;
  /** As it was named: the name of its copy. */
  readonly name: string;
  readonly directory: boolean;
}

const mostMatches = 100_000;

/** @throws EngineError not-found in Docker's words */
export function findSources(sys: Sys, tree: SourceTree, pattern: string): FoundSource[] {
  const clean = posix.join("/", pattern).replace(/^\/|\/$/g, "");
  const names = /[*?[\\]/.test(clean) ? matches(sys, tree.rootFd, clean) : [clean];
  return names.map((name) => {
    const { existing, stat, rest } = placeInRoot(sys, tree.rootFd, name);
    if (rest.length > 0) throw missing(tree, pattern);
    return { path: existing, name: posix.basename(name), directory: isDirectoryStat(stat) };
  });
}

function missing({ kind }: SourceTree, pattern: string): EngineError {
  const where = kind === "context" ? "file not found in build context or excluded by .dockerignore: " : "";
  return new EngineError("not-found", `${where}stat ${pattern}: file does not exist`);
}

/** Go's filepath.Match on each part of the path. Symlinks to directories are not entered, as in Docker. */
function matches(sys: Sys, rootFd: number, pattern: string): string[] {
  let found = [""];
  for (const part of pattern.split("/")) {
    const test = matcherOf(part);
    const next: string[] = [];
    for (const directory of found) {
      const names = /[*?[\\]/.test(part) ? namesIn(sys, rootFd, directory) : [part];
      for (const name of names) {
        const path = directory === "" ? name : `${directory}/${name}`;
        const stat = test(name) ? statIn(sys, rootFd, path) : undefined;
        if (stat !== undefined) next.push(path);
      }
      if (next.length > mostMatches)
        throw new EngineError("resource-exhausted", `${pattern} matches more than ${mostMatches} files`);
    }
    found = next;
  }
  return found.toSorted();
}

function namesIn(sys: Sys, rootFd: number, path: string): string[] {
  const stat = statIn(sys, rootFd, path);
  if (stat === undefined || (stat.mode & S_IFMT) === S_IFLNK || !isDirectoryStat(stat)) return [];
  const fd = sys.openat2(rootFd, path === "" ? "." : path, {
    flags: O_RDONLY | O_DIRECTORY | O_CLOEXEC,
    resolve: RESOLVE_IN_ROOT,
  });
  try {
    return sys.readDirectory(fd).map(({ name }) => Buffer.from(name).toString("utf8"));
  } catch (error) {
    if (isSysError(error, "ENOENT")) return [];
    throw error;
  } finally {
    sys.close(fd);
  }
}
