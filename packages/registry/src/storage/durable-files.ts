/** Small files that survive a loss of power, and directories of which the same is true. */
import { isErrno } from "@fathom/base";
import { constants } from "node:fs";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { randomUUID } from "node:crypto";

export class DurableFiles {
  readonly #temporary: string;
  /** Files that are visible already and may still be lost. */
  readonly #settling = new Map<string, Promise<void>>();

  /** @param temporary A directory on the same file system, for files that nobody may see yet. */
  constructor(temporary: string) {
    this.#temporary = temporary;
  }

  temporaryPath(): string {
    return join(this.#temporary, randomUUID());
  }

  /** The file has the new content, or it is as it was before. */
  async write(path: string, data: string | Uint8Array): Promise<void> {
    const temporary = this.temporaryPath();
    try {
      const file = await open(temporary, "wx", 0o600);
      try {
        await file.writeFile(data);
        await file.datasync();
      } finally {
        await file.close();
      }
      await this.place(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  /** Renames a synced file. Whoever calls `settled` from now on waits until the new name is on the disk. */
  async place(from: string, to: string): Promise<void> {
    await makeDirectory(dirname(to));
    const done = Promise.withResolvers<void>();
    done.promise.catch(() => undefined);
    this.#settling.set(to, done.promise);
    try {
      await rename(from, to);
      await syncDirectory(dirname(to));
      done.resolve();
    } catch (error) {
      done.reject(error);
      throw error;
    } finally {
      if (this.#settling.get(to) === done.promise) this.#settling.delete(to);
    }
  }

  /** Call it before you depend on a file that exists. @throws the error of the write that did not reach the disk */
  settled(path: string): Promise<void> | undefined {
    return this.#settling.get(path);
  }

  /** undefined when it is absent. */
  async read(path: string): Promise<string | undefined> {
    await this.settled(path);
    try {
      return await readFile(path, "utf8");
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
      throw error;
    }
  }

  /** False when it was absent. The removal itself may be lost with the power: then the file is there again. */
  async remove(path: string): Promise<boolean> {
    try {
      await rm(path);
      return true;
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR")) return false;
      throw error;
    }
  }
}

/** With its parents; each name is on the disk when it resolves. */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, 0o700);
  } catch (error) {
    if (isErrno(error, "EEXIST")) return;
    if (!isErrno(error, "ENOENT")) throw error;
    await makeDirectory(dirname(path));
    return makeDirectory(path);
  }
  await syncDirectory(dirname(path));
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
