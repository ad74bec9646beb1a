/**
 * Layers are thousands of files: a fsync of each would cost more than the unpacking. They are written out by one syncfs after the
 * work, in the background; until then their rows carry the boot id (schema.ts), so that a power loss before it is noticed.
 */
import type { Logger } from "@fathom/base";
import type { Database } from "./contract.ts";
import { textColumn } from "./rows.ts";

/** Quiet time before writing out: layers of one pull are written out together. */
const quietMs = 1_000;

export interface Durability {
  /** Something was committed; it is written out soon. */
  request(): void;
  /** Writes out now and marks what was there before. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** @param syncFilesystem Makes everything written to the store's file system durable, without blocking this thread. */
export function createDurability(database: Database, syncFilesystem: () => Promise<void>, logger: Logger): Durability {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: Promise<void> | undefined;
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
    } finally {
      running = undefined;
    }
  }

  return {
    request() {
      clearTimeout(timer);
      if (closed) return;
      timer = setTimeout(() => {
        flush().catch((error: unknown) => logger.warn("layers could not be written out", { error }));
      }, quietMs);
      timer.unref();
    },
    flush,
    async close() {
      closed = true;
      clearTimeout(timer);
      await running?.catch(() => undefined);
    },
  };
}

/** coreutils' `sync -f`: syncfs in a process of its own, so that no thread of ours waits for a disk. */
export async function syncByProgram(path: string): Promise<void> {
  const child = Bun.spawn(["sync", "-f", path], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const [code, text] = await Promise.all([child.exited, new Response(child.stderr).text()]);
  if (code !== 0) throw new Error(`sync -f ${path} ended with ${code}: ${text.trim()}`);
}
