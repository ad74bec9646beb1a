/** Frees trees that were renamed into the trash, in the background: the caller of a removal never waits for a large tree. */
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { randomId, type Logger, isErrno } from "@fathom/base";

export interface Trash {
  /** Moves this path away at once. A path that does not exist is no error. @throws EXDEV when it is on another disk */
  take(path: string): void;
  /** Soon begins to empty it, unless that is already running; then it does one more round. */
  empty(): void;
  /** Resolves when the present content is removed, or has failed and was logged. */
  settled(): Promise<void>;
}

/** Delay before it begins: it collects the trees of many removals, and does no work while the removals run. */
const gatherMs = 100;

/** From this many on they are removed as one tree: by one process instead of one each. */
const manyTrees = 4;

/**
 * A container may leave files that cannot be removed (chattr +i): they are logged, stay in the trash, and are tried again when the store is
 * opened next.
 */
export function createTrash(
  directory: string,
  logger: Logger,
  removeTree: (path: string) => Promise<void> = (path) => rm(path, { recursive: true, force: true }),
): Trash {
  const failed = new Set<string>();
  let running: Promise<void> | undefined;
  let again = false;
  let hurry: (() => void) | undefined;

  function gather(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, gatherMs);
      timer.unref();
      hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function names(): string[] {
    try {
      return readdirSync(directory).filter((name) => !failed.has(name));
    } catch (error) {
      logger.warn("removed layers cannot be freed; it is tried again at the next start", { directory, error });
      return [];
    }
  }

  /** Trees to remove; many become one. */
  function waiting(): string[] {
    const found = names();
    if (found.length < manyTrees) return found;
    const one = join(directory, `many-${randomId()}`);
    try {
      mkdirSync(one, { mode: 0o700 });
      for (const name of found) renameSync(join(directory, name), join(one, name));
    } catch {
      // On a full disk, or when one cannot be moved, they are removed one by one.
    }
    return names();
  }

  async function run(): Promise<void> {
    do {
      again = false;
      for (const name of waiting()) {
        try {
          await removeTree(join(directory, name));
        } catch (error) {
          failed.add(name);
          logger.warn("a removed layer cannot be freed; it is tried again at the next start", { name, error });
        }
      }
    } while (again);
  }

  function start(): void {
    again = true;
    running ??= gather()
      .then(run)
      .finally(() => {
        running = undefined;
        if (again) start();
      });
  }

  return {
    take(path) {
      try {
        renameSync(path, join(directory, randomId()));
      } catch (error) {
        if (!isErrno(error, "ENOENT")) throw error;
      }
    },
    empty: start,
    async settled() {
      while (running !== undefined) {
        hurry?.();
        await running;
      }
    },
  };
}
