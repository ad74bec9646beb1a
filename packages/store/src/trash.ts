/** Frees in the background what was renamed into the trash: the caller of a removal never waits for a large tree. */
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { randomId, type Logger, isErrno } from "@fathom/base";

export interface Trash {
  /** Takes this path out of the way at once. Nothing there is no error. @throws EXDEV when it is on another disk */
  take(path: string): void;
  /** Soon begins to empty it, unless that is going on; it then goes round once more. */
  empty(): void;
  /** Resolves when what was in there is gone, or has failed and was logged. */
  settled(): Promise<void>;
}

/** Before it begins: of a burst of removals the trees come together, and nothing of this is done while they run. */
const gatherMs = 100;

/** From so many on they are removed as one tree: by one process instead of one each. */
const manyTrees = 4;

/**
 * A container may leave what cannot be removed (chattr +i): it is logged, stays in the trash, and is tried again when the store
 * is opened next.
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
      // On a full disk, or where one cannot be moved, they go one by one.
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
