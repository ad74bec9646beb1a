/** Reads directories of the file store. A directory that is absent is empty. */
import { isErrno } from "@fathom/base";
import { isDigest, type Digest } from "@fathom/spec";
import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { byBytes } from "../names/names.ts";

export async function entriesOf(directory: string): Promise<Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/** The digests of files ALGORITHM/HEX below a directory. */
export async function digestsIn(directory: string): Promise<Digest[]> {
  const found: Digest[] = [];
  for (const { name: algorithm } of await entriesOf(directory))
    for (const { name } of await entriesOf(join(directory, algorithm))) {
      const digest = `${algorithm}:${name}`;
      if (isDigest(digest)) found.push(digest);
    }
  return found.toSorted(byBytes);
}

/** Directories that contain one with a name from `marks`; their names relative to `root`. */
export async function markedDirectories(root: string, marks: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  const walk = async (name: string): Promise<void> => {
    const entries = await entriesOf(join(root, name));
    if (entries.some((entry) => marks.includes(entry.name))) found.push(name);
    for (const entry of entries)
      if (entry.isDirectory() && !entry.name.startsWith("_")) await walk(join(name, entry.name));
  };
  await walk("");
  return found.toSorted(byBytes);
}

/** undefined when it is absent. */
export async function fileState(
  path: string,
): Promise<{ readonly bytes: number; readonly touchedMs: number } | undefined> {
  try {
    const { size, mtimeMs } = await stat(path);
    return { bytes: size, touchedMs: mtimeMs };
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
