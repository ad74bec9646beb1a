/**
 * First use of a volume: the image's content at the mount's destination is copied into an empty volume. A few small files are copied at once.
 * For anything else a thread is started, so that only the client that creates the container waits.
 */
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { EngineError, KeyedMutex, messageOf, type Logger } from "@fathom/base";
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
import { beginFilling, completeFilling, fillingName } from "./filling.ts";

/** Listed in apps/fathom/workers.txt. */
const workerPath = "packages/volumes/src/first-use/copy-worker.ts";
/** This much is copied on the engine's own thread: it is less work than to start a thread. */
const atOnce: TreeLimits = { entries: 64, bytes: 1n << 20n, depth: 64 };
const logEveryMs = 10_000;
/** A copy without progress for this long is given up: its file system hangs. */
const stalledMs = 60_000;
/** How long a copy may take to stop after it was asked to. */
const stopMs = 10_000;

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
    const to = openOwn(sys, volume, basename(mount.source));
    if (to === undefined) return await fillMounted(parts, from, mount);
    try {
      if (sys.readDirectory(to, 1).length > 0) return;
      const size = measureTree(sys, from, atOnce, bytesToCopy);
      if (size?.entries === 0) return copyDirectoryAttributes(sys, from, to);
      const aside = join(volumePath, fillingName);
      await rm(aside, { recursive: true, force: true });
      const target = beginFilling(sys, volume);
      try {
        await copyContent(parts, from, target, mount, size !== undefined);
        await completeFilling(sys, volume, to);
      } catch (error) {
        await rm(aside, { recursive: true, force: true });
        throw error;
      } finally {
        sys.close(target);
      }
    } finally {
      sys.close(to);
    }
  } finally {
    sys.close(volume);
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
  const { source } = mount;
  const what = `the volume ${mount.name ?? source}, mounted on ${source},`;
  {
    using reading = files.readTree({ root: source, path: ".", wants: "sizes", what, key: source });
    // The first entry is the directory itself.
    await reading.next();
    if ((await reading.next()) !== undefined) return;
  }
  const control = new CopyControl();
  const request = { from: sys.dup(from), to: source, control: control.buffer, action: actionOf(mount) };
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
  const thread = askThread<CopyRequest, void>(workerPath, request, request.action);
  const givenUp = Promise.withResolvers<never>();
  const volume = mount.name;
  const giveUp = (error: EngineError): void => {
    control.stop();
    setTimeout(() => givenUp.reject(error), stopMs).unref();
  };
  const onShutdown = (): void => giveUp(new EngineError("unavailable", `${request.action}: the daemon is stopping`));
  shuttingDown.addEventListener("abort", onShutdown, { once: true });
  if (shuttingDown.aborted) onShutdown();
  const startedAt = performance.now();
  let [seen, seenAt, loggedAt] = [0, startedAt, startedAt];
  const timer = setInterval(() => {
    const now = performance.now();
    const { entries, bytesCopied } = control;
    if (entries + bytesCopied !== seen) [seen, seenAt] = [entries + bytesCopied, now];
    if (now - loggedAt >= logEveryMs) {
      loggedAt = now;
      logger.info("a volume is being filled", { volume, entries, bytes: bytesCopied });
    }
    if (now - seenAt < stalledMs) return;
    clearInterval(timer);
    giveUp(
      new EngineError(
        "unavailable",
        `${request.action}: nothing was copied for ${stalledMs / 1000} s, it was given up`,
      ),
    );
  }, 1_000);
  try {
    await Promise.race([thread.answer, givenUp.promise]);
    const { entries, bytesCopied } = control;
    const ms = Math.round(performance.now() - startedAt);
    logger.info("a volume was filled", { volume, entries, bytes: bytesCopied, ms });
  } catch (error) {
    throw shuttingDown.aborted
      ? new EngineError("unavailable", `${request.action}: the daemon is stopping`, { cause: error })
      : error;
  } finally {
    clearInterval(timer);
    shuttingDown.removeEventListener("abort", onShutdown);
    // A copy that was given up closes its files when its file system answers.
    thread.leave();
  }
}
