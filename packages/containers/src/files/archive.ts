/** Files of a container, read from outside (`docker cp` and `docker export`): the stat of a path, and tar streams. */
import { posix } from "node:path";
import { ContainerProblem } from "../problem.ts";
import { isSysError, S_IFLNK, S_IFMT, type ReadEntry, type TreeReading, type TreeRequest } from "@fathom/sys";
import { openRoot } from "./container-root.ts";
import type { Container } from "../container.ts";
import { publish, type ContainersContext } from "../context.ts";
import { holdLayers, whileStreamed } from "./layer-hold.ts";
import { tarTree } from "./tar-tree.ts";

export interface FileStat {
  /** The last component of its path; "/" for the root. */
  readonly name: string;
  readonly size: number;
  /** st_mode: type and permissions. */
  readonly mode: number;
  /** Nanoseconds since the epoch. */
  readonly modifiedNs: bigint;
  /** Target of a symlink, as a path of the container; "" for all other files. */
  readonly linkTarget: string;
}

export async function archiveStat(
  engine: ContainersContext,
  nameOrId: string,
  path: string,
  signal: AbortSignal,
): Promise<FileStat> {
  const container = engine.containers.find(nameOrId);
  const absolute = checkPath(path);
  using reading = read(engine, container, absolute, "stat", signal);
  return (await firstEntry(reading, path, absolute, nameOrId)).stat;
}

function read(
  engine: ContainersContext,
  container: Container,
  absolute: string,
  wants: TreeRequest["wants"],
  signal: AbortSignal,
): TreeReading {
  using root = openRoot(engine, container, absolute);
  const { base, path } = root;
  return engine.files.readTree({
    root: root.root,
    ...(base === undefined ? {} : { base }),
    path,
    wants,
    what: `${absolute} in container ${container.record.name}`,
    key: container.id,
    signal,
  });
}

/** @throws ContainerProblem "no-such-path", "path-below-file" */
async function firstEntry(
  reading: TreeReading,
  path: string,
  absolute: string,
  nameOrId: string,
): Promise<{ readonly entry: ReadEntry; readonly stat: FileStat }> {
  const notFound = (cause?: unknown): ContainerProblem =>
    new ContainerProblem({ kind: "no-such-path", path, container: nameOrId }, { cause });
  let entry: ReadEntry | undefined;
  try {
    entry = await reading.next();
  } catch (error) {
    if (isSysError(error, "ENOTDIR")) throw new ContainerProblem({ kind: "path-below-file", path }, { cause: error });
    throw isSysError(error, "ENOENT", "ELOOP") ? notFound(error) : error;
  }
  // The file was removed meanwhile.
  if (entry === undefined) throw notFound();
  return { entry, stat: fileStat(entry, absolute) };
}

/** Absolute, without "." and "..". @throws invalid-argument */
export function cleanPath(path: string): string {
  if (path === "") throw new ContainerProblem({ kind: "empty-path" });
  return posix.join("/", path);
}

/** @throws invalid-argument */
function checkPath(path: string): string {
  const clean = cleanPath(path);
  // "dir/." and "dir/" mean the directory's content: the target of a symlink, not the symlink.
  return /\/\.?$/.test(path) && clean !== "/" ? `${clean.replace(/\/$/, "")}/.` : clean;
}

function fileStat({ size, mode, mtimeNs, target }: ReadEntry, absolute: string): FileStat {
  const name = posix.basename(absolute.replace(/\/\.$/, ""));
  return {
    name: name === "" ? "/" : name,
    size: Number(size),
    mode,
    modifiedNs: mtimeNs,
    linkTarget: (mode & S_IFMT) === S_IFLNK ? linkTarget(Buffer.from(target).toString("utf8"), absolute) : "",
  };
}

/** Target of a symlink, as a path of the container. */
function linkTarget(target: string, absolute: string): string {
  return posix.join("/", posix.isAbsolute(target) ? "" : posix.dirname(absolute), target);
}

export async function archiveGet(
  engine: ContainersContext,
  nameOrId: string,
  path: string,
  signal: AbortSignal,
): Promise<{ stat: FileStat; tar: AsyncIterable<Uint8Array> }> {
  const container = engine.containers.find(nameOrId);
  const absolute = checkPath(path);
  using stack = new DisposableStack();
  stack.use(holdLayers(container));
  const reading = stack.use(read(engine, container, absolute, "tree", signal));
  const { entry, stat } = await firstEntry(reading, path, absolute, nameOrId);
  publish(engine, container, "archive-path");
  // "dir/." is the content of dir: its entries have names that start with ".".
  const name = path.endsWith("/.") ? "." : stat.name;
  return { stat, tar: whileStreamed(tarTree(reading, entry, name), stack.move()) };
}

/** The root file system without the mounts in it. */
export function exportContainer(
  engine: ContainersContext,
  nameOrId: string,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const container = engine.containers.find(nameOrId);
  using stack = new DisposableStack();
  stack.use(holdLayers(container));
  const reading = stack.use(read(engine, container, "/", "mount", signal));
  publish(engine, container, "export");
  return whileStreamed(tarTree(reading, undefined, ""), stack.move());
}
