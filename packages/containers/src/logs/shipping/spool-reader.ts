/** Reads a container's spool from a position on, through its rotations, each record once. */
import { statSync } from "node:fs";
import type { LogFile } from "../log-file.ts";
import type { LogEntry } from "../log-record.ts";
import { logFiles, openNamed, type NamedLog } from "../rotated-files.ts";
import type { SpoolPosition } from "./position-file.ts";

const mostHeadBytes = 512;

/** What was read, and the position after it. */
export interface SpoolPart {
  readonly entries: readonly LogEntry[];
  readonly after: SpoolPosition;
}

export class SpoolReader implements Disposable {
  readonly #path: string;
  #file: LogFile | undefined;
  #head: SpoolPosition["head"] = { bytes: 0, hash: "" };
  /** The file at the position was removed: records after it may be gone. */
  #gap = false;

  /** @param from Without it: the oldest record. */
  constructor(path: string, from: SpoolPosition | undefined) {
    this.#path = path;
    if (from !== undefined) this.#seek(from);
  }

  #seek(from: SpoolPosition): void {
    for (const named of readable(this.#path)) {
      if (named.inode !== from.inode || named.size < from.offset) continue;
      const file = openNamed(this.#path, named);
      if (file === undefined) continue;
      if (headOf(file, from.head.bytes).hash === from.head.hash) {
        file.seek(from.offset);
        this.#use(file);
        return;
      }
      file.close();
    }
    this.#gap = from.offset > 0;
  }

  #use(file: LogFile): void {
    this.#file?.close();
    this.#file = file;
    this.#head = { bytes: 0, hash: "" };
  }

  /** undefined when everything that is written now was read. */
  next(): SpoolPart | undefined {
    for (;;) {
      const file = this.#file ?? this.#openOldest();
      if (file === undefined) return undefined;
      const entries = file.read();
      if (entries !== undefined) {
        if (entries.length === 0) continue;
        return this.#part(file, entries);
      }
      if (this.#isCurrent(file)) return undefined;
      // The writer wrote between the last read and the rotation.
      const last = file.read();
      if (last !== undefined) {
        if (last.length === 0) continue;
        return this.#part(file, last);
      }
      const rest = file.readUnfinished();
      const next = this.#openNext(file);
      if (next === undefined) return undefined;
      if (rest.length > 0) return this.#part(next, rest);
    }
  }

  #part(file: LogFile, entries: readonly LogEntry[]): SpoolPart {
    const gap: LogEntry[] = this.#gap
      ? [{ kind: "missing", what: "log files were removed; records may be missing here", offset: 0 }]
      : [];
    this.#gap = false;
    const offset = file.offset - file.unfinished;
    const bytes = Math.min(mostHeadBytes, offset);
    if (bytes > this.#head.bytes) this.#head = headOf(file, bytes);
    return { entries: [...gap, ...entries], after: { inode: file.inode, offset, head: this.#head } };
  }

  #openOldest(): LogFile | undefined {
    for (const named of readable(this.#path)) {
      const file = openNamed(this.#path, named);
      if (file === undefined) continue;
      this.#use(file);
      return file;
    }
    return undefined;
  }

  #openNext(before: LogFile): LogFile | undefined {
    const files = readable(this.#path);
    const place = files.findIndex(({ inode }) => inode === before.inode);
    const next = files[place + 1];
    const file = next === undefined ? undefined : openNamed(this.#path, next);
    if (file === undefined) return undefined;
    this.#use(file);
    // It was removed as the oldest of several, so the reader was far behind, and others may have been removed with it.
    if (place < 0 && files.length > 1) this.#gap = true;
    return file;
  }

  #isCurrent(file: LogFile): boolean {
    if (statSync(this.#path, { throwIfNoEntry: false })?.ino === file.inode) return true;
    const youngest = readable(this.#path).at(-1);
    // In the middle of a rotation the file may have a number and still be the youngest.
    return youngest === undefined || youngest.inode === file.inode;
  }

  [Symbol.dispose](): void {
    this.#file?.close();
    this.#file = undefined;
  }
}

/** Oldest first. A compressed file has been sent already (compress-rotated.ts waits for that). */
function readable(path: string): readonly NamedLog[] {
  return logFiles(path).filter(({ compressed }) => !compressed);
}

function headOf(file: LogFile, bytes: number): SpoolPosition["head"] {
  const head = Buffer.alloc(bytes);
  const count = file.readBytes(head, 0, bytes);
  return { bytes: count, hash: Bun.hash(head.subarray(0, count)).toString(16) };
}
