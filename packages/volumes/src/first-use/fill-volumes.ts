/**
 * First use of a volume: the image's content at the mount's destination is copied into an empty volume. A few small files are copied at once.
 * For anything else a thread is started, so that only the client that creates the container waits.
 */
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { KeyedMutex, messageOf, type Logger } from "@fathom/base";
import { type Snapshot, storageError } from "@fathom/store";
import {
  askThread,
  isSysError,
  measureTree,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_XDEV,
  S_IFMT,
  S_IFREG,
  type HostFiles,
  type Stat,
  type Sys,
  type TreeLimits,
} from "@fathom/sys";
import { CopyControl, type CopyRequest } from "./copy-control.ts";
import { copyDirectoryAttributes, copyTreeOrNothing } from "./copy-tree.ts";
import { waitForCopy } from "./copy-wait.ts";
import { beginFilling, completeFilling, continueFilling, fillingName, isMoving, openBelow } from "./filling.ts";

/** Listed in apps/fathom/workers.txt. */
const workerPath = "packages/volumes/src/first-use/copy-worker.ts";
/** This much is copied on the engine's own thread: it is less work than to start a thread. */
const atOnce: TreeLimits = { entries: 64, bytes: 1n << 20n, depth: 64 };

interface CopyParts {
  readonly sys: Sys;
  /** For mounts at a volume's place. */
  readonly files: HostFiles;
  readonly logger: Logger;
  /** Aborts when the daemon stops. */
  readonly shuttingDown: AbortSignal;
}

/** A volume that a container mounts for the first time. */
export interface FirstUse {
  /** Of the volume, for the log. */
  readonly name: string | undefined;
  /** The volume's directory of data, a host path. */
  readonly source: string;
  /** Its path in the container: the image's content there is copied. */
  readonly destination: string;
  /** The directory of the volume that the container mounts; "" for all of it. When it does not exist, nothing is copied. */
  readonly subpath: string;
}

/** Two containers with one new volume: the second finds it filled. Keys are host paths. */
const underWay = new KeyedMutex();

/** @throws resource-exhausted when the disk is full, aborted when the daemon stops; then the volume is still empty */
export async function fillVolumes(parts: CopyParts, layer: Snapshot, mounts: readonly FirstUse[]): Promise<void> {
  if (mounts.length === 0) return;
  const { sys } = parts;
  const root = sys.openOverlay(layer.mount);
  try {
    for (const mount of mounts) await underWay.run(mount.source, () => fillVolume(parts, root, mount));
  } finally {
    sys.close(root);
  }
}

async function fillVolume(parts: CopyParts, root: number, mount: FirstUse): Promise<void> {
  const { sys, logger } = parts;
  let from: number;
  try {
    from = sys.openat2(root, mount.destination.replace(/^\/+/, ""), {
      flags: O_RDONLY | O_DIRECTORY | O_CLOEXEC,
      resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    });
  } catch (error) {
    // The image has nothing there, or no directory.
    if (isSysError(error, "ENOENT", "ENOTDIR", "ELOOP")) return;
    throw error;
  }
  try {
    await fill(parts, from, mount);
  } catch (error) {
    logger.error("filling a volume failed", {
      error: messageOf(error),
      volume: mount.name,
      destination: mount.destination,
    });
    throw error;
  } finally {
    sys.close(from);
  }
}

async function fill(parts: CopyParts, from: number, mount: FirstUse): Promise<void> {
  const { sys } = parts;
  const volumePath = dirname(mount.source);
  const volume = sys.open(volumePath, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  try {
    const data = openOwn(sys, volume, basename(mount.source));
    if (data === undefined) return await fillMounted(parts, from, mount);
    try {
      await fillOwn(parts, from, { path: volumePath, volume, data }, mount);
    } finally {
      sys.close(data);
    }
  } finally {
    sys.close(volume);
  }
}

/** A volume's directory and its data, opened. */
interface OpenVolume {
  readonly path: string;
  readonly volume: number;
  readonly data: number;
}

async function fillOwn(
  parts: CopyParts,
  from: number,
  { path, volume, data }: OpenVolume,
  mount: FirstUse,
): Promise<void> {
  const { sys } = parts;
  const aside = join(path, fillingName);
  if (isMoving(sys, volume)) {
    await rm(aside, { recursive: true, force: true });
    await continueFilling(sys, volume, data);
  }
  const to = openBelow(sys, data, mount.subpath);
  if (to === undefined) return;
  try {
    if (sys.readDirectory(to, 1).length > 0) return;
    const size = measureTree(sys, from, atOnce, bytesToCopy);
    if (size?.entries === 0) return copyDirectoryAttributes(sys, from, to);
    await rm(aside, { recursive: true, force: true });
    const target = beginFilling(sys, volume);
    try {
      await copyContent(parts, from, target, mount, size !== undefined);
      await completeFilling(sys, volume, data, mount.subpath);
    } catch (error) {
      await rm(aside, { recursive: true, force: true });
      throw error;
    } finally {
      sys.close(target);
    }
  } finally {
    sys.close(to);
  }
}

function bytesToCopy({ mode, size }: Stat): bigint {
  return (mode & S_IFMT) === S_IFREG ? size : 0n;
}

/** undefined when another file system is mounted there: it is not opened, because its server may not answer. */
function openOwn(sys: Sys, volume: number, name: string): number | undefined {
  try {
    return sys.openat2(volume, name, { flags: O_RDONLY | O_DIRECTORY | O_CLOEXEC, resolve: RESOLVE_NO_XDEV });
  } catch (error) {
    if (isSysError(error, "EXDEV")) return undefined;
    throw error;
  }
}

/** The volume is in use already, and there is no place beside it: the content is copied directly into it. */
async function fillMounted(parts: CopyParts, from: number, mount: FirstUse): Promise<void> {
  const { sys, files } = parts;
  const { source, subpath } = mount;
  const what = `the volume ${mount.name ?? source}, mounted on ${source},`;
  try {
    using reading = files.readTree({ root: source, path: subpath || ".", wants: "sizes", what, key: source });
    // The first entry is the directory itself.
    await reading.next();
    if ((await reading.next()) !== undefined) return;
  } catch (error) {
    if (subpath !== "" && isSysError(error, "ENOENT", "ENOTDIR", "ELOOP")) return;
    throw error;
  }
  const control = new CopyControl();
  const to = { path: source, subpath };
  const request = { from: sys.dup(from), to, control: control.buffer, action: actionOf(mount) };
  await copyInThread(parts, request, control, mount);
}

function actionOf(mount: FirstUse): string {
  return `fill the volume ${mount.name ?? mount.source} with what the image has at ${mount.destination}`;
}

async function copyContent(
  parts: CopyParts,
  from: number,
  to: number,
  mount: FirstUse,
  isSmall: boolean,
): Promise<void> {
  const { sys } = parts;
  const action = actionOf(mount);
  const control = new CopyControl();
  if (isSmall) {
    try {
      copyTreeOrNothing(sys, from, to, control);
    } catch (error) {
      throw storageError(action, error);
    }
    return;
  }
  const ends = [sys.dup(from)];
  try {
    ends.push(sys.dup(to));
  } catch (error) {
    for (const fd of ends) sys.close(fd);
    throw error;
  }
  await copyInThread(parts, { from: ends[0]!, to: ends[1]!, control: control.buffer, action }, control, mount);
}

/** The thread closes the request's descriptors, whenever it ends. */
async function copyInThread(
  { logger, shuttingDown }: CopyParts,
  request: CopyRequest,
  control: CopyControl,
  mount: FirstUse,
): Promise<void> {
  const { action } = request;
  const thread = askThread<CopyRequest, void>(workerPath, request, action);
  await waitForCopy(thread, control, { action, volume: mount.name, logger, shuttingDown });
}
