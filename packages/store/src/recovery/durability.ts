/**
 * Layers are thousands of files: an fsync for each would cost more than unpacking. One syncfs after the work writes them to disk, in the
 * background. Until then their rows have the boot id (schema.ts), so that a power loss before it is noticed.
 */
import { type Logger, within } from "@fathom/base";
import type { Database } from "../contract.ts";
import { textColumn } from "../database/rows.ts";

/** Quiet time before the syncfs, so that layers of one pull are written together. */
const quietMs = 1_000;
/** After failures the wait grows up to this. */
const longestWaitMs = 60_000;
/** How long the end of the store waits for the disk. */
const closeMs = 60_000;

export interface Durability {
  /** Something was committed: it is written to disk soon, with retries until that works. */
  request(): void;
  /**
   * Writes the rest to disk and marks it, so that the next boot trusts it. What cannot be written, or not in time, keeps its boot id and is
   * logged. Never throws.
   */
  close(): Promise<void>;
}

export interface DurabilityTimes {
  readonly quietMs?: number;
  readonly closeMs?: number;
}

/** @param syncFilesystem Makes everything written to the store's file system durable, without blocking this thread. */
export function createDurability(
  database: Database,
  syncFilesystem: () => Promise<void>,
  logger: Logger,
  times: DurabilityTimes = {},
): Durability {
  const firstWaitMs = times.quietMs ?? quietMs;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: Promise<void> | undefined;
  let failures = 0;
  let closing = false;
  /** The owner gets the database back: a write that ends later marks nothing. */
  let closed = false;

  async function flushOnce(): Promise<void> {
    const layers = database.all("SELECT chain_id AS name FROM layers WHERE boot IS NOT NULL");
    const blobs = database.all("SELECT digest AS name, inode FROM blobs WHERE boot IS NOT NULL");
    if (layers.length + blobs.length === 0) return;
    await syncFilesystem();
    if (closed) return;
    database.transaction(() => {
      for (const row of layers)
        database.run("UPDATE layers SET boot = NULL WHERE chain_id = ?", textColumn(row, "name"));
      for (const row of blobs) {
        // A blob that was written again meanwhile is another file.
        database.run(
          "UPDATE blobs SET boot = NULL WHERE digest = ? AND inode = ?",
          textColumn(row, "name"),
          textColumn(row, "inode"),
        );
      }
    });
  }

  async function flush(): Promise<void> {
    while (running !== undefined) await running.catch(() => undefined);
    running = flushOnce();
    try {
      await running;
      failures = 0;
    } finally {
      running = undefined;
    }
  }

  function schedule(waitMs: number): void {
    clearTimeout(timer);
    if (closing) return;
    timer = setTimeout(() => {
      flush().catch((error: unknown) => {
        failures++;
        const nextMs = Math.min(firstWaitMs * 2 ** failures, longestWaitMs);
        logger.warn("layers could not be written out; it is tried again", { error, tries: failures, nextMs });
        schedule(nextMs);
      });
    }, waitMs);
    timer.unref();
  }

  async function flushBeforeEnd(): Promise<void> {
    try {
      await flush();
    } catch (error) {
      logger.warn("layers could not be written out; it is tried again", { error });
      await flush();
    }
  }

  return {
    request: () => schedule(firstWaitMs),
    async close() {
      closing = true;
      clearTimeout(timer);
      const limitMs = times.closeMs ?? closeMs;
      try {
        await within(flushBeforeEnd(), limitMs, () => {
          throw new Error(`it took longer than ${limitMs} ms`);
        });
      } catch (error) {
        logger.error("layers could not be written out: images of the last moments are gone if power is lost now", {
          error,
        });
      } finally {
        closed = true;
      }
    },
  };
}
