/** Frees in the background what was renamed into the trash: the caller of a removal never waits for a large tree. */
import { readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "@fathom/base";

export interface Trash {
  /** Begins to empty it, unless that is going on; it then goes round once more. */
  empty(): void;
  /** Resolves when what was in there is gone, or has failed and was logged. */
  settled(): Promise<void>;
}

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

  async function run(): Promise<void> {
    do {
      again = false;
      for (const name of readdirSync(directory)) {
        if (failed.has(name)) continue;
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
    running ??= run().finally(() => {
      running = undefined;
      if (again) start();
    });
  }

  return {
    empty: start,
    async settled() {
      while (running !== undefined) await running;
    },
  };
}
