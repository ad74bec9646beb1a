/** docker cp out of a container and docker export: the stat of a path, and tar streams. */
import { posix } from "node:path";
import { EngineError, formatRfc3339Nano } from "@fathom/base";
import type { PathStat } from "@fathom/spec";
import { S_IFLNK, S_IFMT } from "@fathom/sys";
import { couldNotFind, goFileMode, openRoot, type ContainerRoot } from "./container-root.ts";
import { publish, type EngineContext } from "./context.ts";
import { holdLayers, whileStreamed } from "./layer-hold.ts";
import { tarTree } from "./tar-tree.ts";

export function archiveStat(engine: EngineContext, nameOrId: string, path: string): PathStat {
  const container = engine.containers.find(nameOrId);
  const absolute = checkPath(path);
  const { root, path: inside } = openRoot(engine, container, absolute);
  using _ = root;
  try {
    return statInRoot(root, inside, absolute);
  } catch (error) {
    throw couldNotFind(error, path, nameOrId);
  }
}

/** @throws invalid-argument */
function checkPath(path: string): string {
  if (path === "") throw new EngineError("invalid-argument", "bad parameter: path cannot be empty");
  // "dir/." and "dir/" name the directory's content: what a symlink points to, not the symlink.
  const clean = posix.join("/", path);
  return /\/\.?$/.test(path) && clean !== "/" ? `${clean.replace(/\/$/, "")}/.` : clean;
}

function statInRoot(root: ContainerRoot, inside: string, absolute: string): PathStat {
  const stat = root.stat(inside);
  const name = posix.basename(absolute.replace(/\/\.$/, ""));
  return {
    name: name === "" ? "/" : name,
    size: Number(stat.size),
    mode: goFileMode(stat.mode),
    mtime: formatRfc3339Nano(stat.mtimeNs),
    linkTarget: (stat.mode & S_IFMT) === S_IFLNK ? linkTarget(root, inside, absolute) : "",
  };
}

/** Where a symlink leads, as a path of the container. */
function linkTarget(root: ContainerRoot, inside: string, absolute: string): string {
  return posix.join("/", posix.isAbsolute(root.readlink(inside)) ? "" : posix.dirname(absolute), root.readlink(inside));
}

export function archiveGet(
  engine: EngineContext,
  nameOrId: string,
  path: string,
  signal: AbortSignal,
): { stat: PathStat; tar: AsyncIterable<Uint8Array> } {
  const container = engine.containers.find(nameOrId);
  const absolute = checkPath(path);
  const { root, path: inside } = openRoot(engine, container, absolute);
  let stat: PathStat;
  try {
    stat = statInRoot(root, inside, absolute);
  } catch (error) {
    root[Symbol.dispose]();
    throw couldNotFind(error, path, nameOrId);
  }
  publish(engine, container, "archive-path");
  // "dir/." is the content of dir: its entries are named from ".".
  const name = path.endsWith("/.") ? "." : stat.name;
  const tar = tarTree(engine.sys, root, inside, { name, oneMount: false }, signal);
  return { stat, tar: whileStreamed(tar, holdLayers(container), root) };
}

/** The root file system without what is mounted on it. */
export function exportContainer(
  engine: EngineContext,
  nameOrId: string,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const container = engine.containers.find(nameOrId);
  const { root, path } = openRoot(engine, container, "/");
  publish(engine, container, "export");
  const tar = tarTree(engine.sys, root, path, { name: "", oneMount: true }, signal);
  return whileStreamed(tar, holdLayers(container), root);
}
