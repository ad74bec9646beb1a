/** The directories of all containers: `--root/ID`. They belong to root, mode 0700; making one reserves its id. */
import { lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { EngineError, isErrno, systemClock } from "@fathom/base";
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY, type Sys } from "@fathom/sys";
import { missing, texts } from "../words.ts";

export type LockSys = Pick<Sys, "open" | "close" | "tryFlock" | "fstat">;

/** How long a call waits for another call that changes the same container. A creation waits for hooks, which may take long. */
const lockLimitMs = 60_000;
const idLimit = 1024;

/** @throws invalid-argument */
export function checkId(id: string | undefined): string {
  if (id === undefined || id === "") throw new EngineError("invalid-argument", "container id cannot be empty");
  if (!/^[\w+.-]+$/.test(id) || id === "." || id === ".." || id.length > idLimit)
    throw new EngineError("invalid-argument", "invalid container ID format");
  return id;
}

/** @throws conflict when the id is taken */
export function reserveDirectory(root: string, id: string): string {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const directory = join(root, id);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if (isErrno(error, "EEXIST")) throw new EngineError("conflict", texts.exists, { cause: error });
    throw error;
  }
  return directory;
}

export function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}

/** Ids of all containers. */
export function containerIds(root: string): string[] {
  try {
    return readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/**
 * Takes the lock of a container; only one call changes it at a time. It ends with the call.
 * @throws not-found when there is no such container; timeout when another call keeps it
 */
export async function lockDirectory(sys: LockSys, directory: string): Promise<Disposable> {
  const deadline = systemClock.monotonicMs() + lockLimitMs;
  let fd: number;
  try {
    fd = sys.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } catch (error) {
    if (isErrno(error, "ENOENT") || isMissing(directory)) throw missing();
    throw error;
  }
  try {
    while (!sys.tryFlock(fd, true)) {
      if (systemClock.monotonicMs() > deadline)
        throw new EngineError(
          "timeout",
          `another call changes the container for ${lockLimitMs / 1000} s: ${directory}`,
        );
      await systemClock.sleep(5);
    }
    // Another call may have removed it meanwhile, and a third may have made it again.
    if (isMissing(directory) || lstatSync(directory, { bigint: true }).ino !== sys.fstat(fd).ino) throw missing();
  } catch (error) {
    sys.close(fd);
    throw error;
  }
  return { [Symbol.dispose]: () => sys.close(fd) };
}

function isMissing(directory: string): boolean {
  return lstatSync(directory, { throwIfNoEntry: false }) === undefined;
}
