/** The files of a log: `path`, and its older files `path.1`, `path.2`, … or `path.2.gz`. A writer may rotate them at any moment. */
import { closeSync, fstatSync, openSync, readdirSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { LogFile } from "./log-file.ts";

/** How many numbers after a listed one are tried, listed or not. */
const unlisted = 3;
/** How often to look again when the files were rotated twice meanwhile: then `unlisted` and the order of the search may not be enough. */
const maxLooks = 20;
/** How often a file may be renamed between the search and the opening. */
const maxRenames = 5;

/** A file of a log, with the name that it had in the search. */
export interface NamedLog {
  readonly path: string;
  /** 0 for the current file. */
  readonly number: number;
  readonly compressed: boolean;
  readonly inode: number;
  readonly size: number;
  /** The inode of the file from which this process made the compressed one. */
  readonly original?: number;
}

/**
 * The log's files: the oldest rotated file first and the current one last. The order is right while a writer rotates: a rotation moves files to
 * higher numbers, and the search goes in the same direction. If the search takes so long that files move twice (this process had no turn), it
 * starts again.
 */
export function logFiles(path: string): readonly NamedLog[] {
  for (let looks = 1; ; looks++) {
    const youngest = named(path, 0) ?? named(path, 1);
    const seen = lookForFiles(path);
    const steady = youngest === undefined ? seen.length === 0 : isNear(path, youngest);
    if (!steady && looks < maxLooks) continue;
    // A file that was renamed meanwhile appears twice: the files in between are younger.
    const files: NamedLog[] = [];
    for (let index = 0; index < seen.length; index++) {
      const { inode } = seen[index]!;
      index = seen.findLastIndex((file) => file.inode === inode);
      files.push(seen[index]!);
    }
    return files.toReversed();
  }
}

/** In the order of rising numbers. */
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
  // While a directory changes, its listing may miss names, and a file may get the next number before it is looked for.
  const numbers = new Set(listed);
  for (const number of listed) for (let more = 1; more <= unlisted; more++) numbers.add(number + more);
  return [...numbers].sort((a, b) => a - b).flatMap((number) => named(path, number) ?? []);
}

/** Whether a file still has its number, or the next one. */
function isNear(path: string, { number, inode }: NamedLog): boolean {
  return named(path, number)?.inode === inode || named(path, number + 1)?.inode === inode;
}

function named(path: string, number: number): NamedLog | undefined {
  const plain = number === 0 ? path : `${path}.${number}`;
  for (const name of number === 0 ? [plain] : [plain, `${plain}.gz`]) {
    const about = statSync(name, { throwIfNoEntry: false });
    if (about !== undefined) {
      const compressed = name !== plain;
      const original = compressed ? originals.get(about.ino) : undefined;
      const { ino: inode, size } = about;
      return { path: name, number, compressed, inode, size, ...(original === undefined ? {} : { original }) };
    }
  }
  return undefined;
}

/** So many compressed files are remembered. */
const mostPacked = 4096;
const originals = new Map<number, number>();

/**
 * A file was compressed while somebody may read it. The reader holds the original open, so no other file gets its inode, and finds its place
 * among the files by it.
 */
export function rememberOriginal(packedInode: number, inode: number): void {
  originals.delete(packedInode);
  originals.set(packedInode, inode);
  for (const oldest of originals.keys()) if (originals.size > mostPacked) originals.delete(oldest);
}

/** A descriptor of a compressed file of the search, also under the name that a rotation gave it; undefined when it no longer exists. */
export function openPacked(log: string, { number, inode }: NamedLog): number | undefined {
  for (let now = number; now <= number + maxRenames; now++) {
    let fd: number;
    try {
      fd = openSync(`${log}.${now}.gz`, "r");
    } catch {
      continue;
    }
    if (fstatSync(fd).ino === inode) return fd;
    closeSync(fd);
  }
  return undefined;
}

/** Opens the file of the search, also under the name that a rotation gave it; undefined when it no longer exists. */
export function openNamed(log: string, { number, inode }: NamedLog): LogFile | undefined {
  for (let now = number; now <= number + maxRenames; now++) {
    const file = LogFile.open(now === 0 ? log : `${log}.${now}`);
    if (file?.inode === inode) return file;
    file?.close();
  }
  return undefined;
}
