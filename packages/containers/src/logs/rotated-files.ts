/** The files of a log: `path`, and its rotated elders `path.1`, `path.2`, … or `path.2.gz`. A writer may rotate them at any moment. */
import { readdirSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { LogFile } from "./log-file.ts";

/** How many numbers behind one that is listed are tried, listed or not. */
const unlisted = 3;
/** How often the files are looked for again because they were rotated twice meanwhile: then `unlisted` and the order of the search may not do. */
const maxLooks = 20;
/** How often a file may be renamed between its being found and its being opened. */
const maxRenames = 5;

/** A file of a log, by the name that it had when it was looked for. */
export interface NamedLog {
  readonly path: string;
  /** 0: the current one. */
  readonly number: number;
  readonly compressed: boolean;
  readonly inode: number;
  readonly size: number;
}

/**
 * Rotated files oldest first, the current one last, where there is one. The order is right while a writer rotates them: that moves files to
 * higher numbers, and so does the search. A search that took so long that they moved twice (this process had no turn) is made again.
 */
export function logFiles(path: string): readonly NamedLog[] {
  for (let looks = 1; ; looks++) {
    const youngest = named(path, 0) ?? named(path, 1);
    const seen = lookForFiles(path);
    const steady = youngest === undefined ? seen.length === 0 : isNear(path, youngest);
    if (!steady && looks < maxLooks) continue;
    // One that was renamed meanwhile is there twice: what is between is younger.
    const files: NamedLog[] = [];
    for (let index = 0; index < seen.length; index++) {
      const { inode } = seen[index]!;
      index = seen.findLastIndex((file) => file.inode === inode);
      files.push(seen[index]!);
    }
    return files.toReversed();
  }
}

/** By rising numbers. */
function lookForFiles(path: string): readonly NamedLog[] {
  const prefix = `${basename(path)}.`;
  const listed = [0];
  let entries: string[] = [];
  try {
    entries = readdirSync(dirname(path));
  } catch {
    // A container that never ran has no directory for its log.
  }
  for (const entry of entries) {
    const match = entry.startsWith(prefix) ? /^([1-9]\d{0,5})(\.gz)?$/.exec(entry.slice(prefix.length)) : null;
    if (match !== null) listed.push(Number(match[1]));
  }
  // A folder that is read while it changes may lack names, and a file may get the next number before it is looked for.
  const numbers = new Set(listed);
  for (const number of listed) for (let more = 1; more <= unlisted; more++) numbers.add(number + more);
  return [...numbers].sort((a, b) => a - b).flatMap((number) => named(path, number) ?? []);
}

/** Whether a file has the number that it had, or the next one. */
function isNear(path: string, { number, inode }: NamedLog): boolean {
  return named(path, number)?.inode === inode || named(path, number + 1)?.inode === inode;
}

function named(path: string, number: number): NamedLog | undefined {
  const plain = number === 0 ? path : `${path}.${number}`;
  for (const name of number === 0 ? [plain] : [plain, `${plain}.gz`]) {
    const about = statSync(name, { throwIfNoEntry: false });
    if (about !== undefined)
      return { path: name, number, compressed: name !== plain, inode: about.ino, size: about.size };
  }
  return undefined;
}

/** Opens the file that was found, whatever a rotation calls it by now; undefined when it is gone. */
export function openNamed(log: string, { number, inode }: NamedLog): LogFile | undefined {
  for (let now = number; now <= number + maxRenames; now++) {
    const file = LogFile.open(now === 0 ? log : `${log}.${now}`);
    if (file?.inode === inode) return file;
    file?.close();
  }
  return undefined;
}
