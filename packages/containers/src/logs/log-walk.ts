/** Goes through the files of a log, from the first with wanted records to the present one, and follows them while they are rotated. */
import { statSync } from "node:fs";
import { basename } from "node:path";
import { messageOf, type Turns } from "@fathom/base";
import type { ChosenRecords, LogPlace, LogSelection } from "./chosen-records.ts";
import { chunkBytes, compressedEntries, type LogFile } from "./log-file.ts";
import { findTail, offsetSince, offsetUntil, type LogPosition, type TailStart } from "./log-position.ts";
import type { LogEntry } from "./log-record.ts";
import { logFiles, openNamed, openPacked, type NamedLog } from "./rotated-files.ts";

/** After the end of the wanted records, how far to look for the rest of a line. */
const restOfLineBytes = 1024 * 1024;

/** How often to look for the log's files again after a rotation removed one of them. */
const maxRotationTries = 50;

/** How long a file may be missing because the writer is in the middle of a rotation. */
const rotationMs = 500;

/** How long half a record at the end of a log may be a record that is being written now. */
const settleMs = 50;

export class LogWalk {
  readonly #path: string;
  readonly #selection: LogSelection;
  readonly #follows: boolean;
  readonly #turns: Turns;
  readonly #chosen: ChosenRecords;
  #file: LogFile | undefined;
  #compressed: AsyncGenerator<LogEntry[]> | undefined;
  #compressedFile: NamedLog | undefined;
  /** The position up to which the present file is read; what follows is too young. */
  #limit: number | undefined;
  /** The present file has been renamed: after its end, the next file follows. */
  #rotated = false;
  /** The end of the log at the beginning, for a client that does not follow. */
  #end: LogPosition | undefined;
  #finished = false;

  /** @param chosen Learns which files are read, and where the wanted records in them begin. */
  constructor(path: string, selection: LogSelection, follows: boolean, turns: Turns, chosen: ChosenRecords) {
    this.#path = path;
    this.#selection = selection;
    this.#follows = follows;
    this.#turns = turns;
    this.#chosen = chosen;
  }

  /** Past `until`, or past the end of the log at the beginning: nothing more will come. */
  get finished(): boolean {
    return this.#finished;
  }

  /** The file of the last entries. */
  get place(): LogPlace {
    return {
      name: this.#file?.name ?? basename(this.#compressedFile?.path ?? this.#path),
      inode: this.#file?.inode,
    };
  }

  async open(): Promise<void> {
    const { tail } = this.#selection;
    for (let tries = 1; ; tries++) {
      const files = logFiles(this.#path);
      const youngest = files.at(-1);
      if (youngest === undefined) {
        this.#finished = !this.#follows;
        return;
      }
      if (!this.#follows) this.#end = { inode: youngest.inode, offset: youngest.size };
      const start = tail === "all" ? undefined : await findTail(this.#path, files, tail, this.#end, this.#turns);
      if (start !== undefined && start !== "gone") return this.#openTail(start);
      if ((start === undefined && (await this.#open(files[0]!))) || tries === maxRotationTries) return;
    }
  }

  async #openTail({ file, compressed, from }: TailStart): Promise<void> {
    if (from !== undefined) this.#chosen.beginAt(from);
    if (compressed !== undefined) {
      this.#openCompressed(compressed);
      this.#chosen.beginFile(compressed.skipLines);
    }
    this.#file = file;
    if (file !== undefined) await this.#limitFile(file);
  }

  /** False when a rotation has removed the file: then the present file stays. */
  async #open(named: NamedLog): Promise<boolean> {
    this.#chosen.beginFile(0);
    if (named.compressed) this.#openCompressed(named);
    else {
      const file = openNamed(this.#path, named);
      if (file === undefined) return false;
      this.#file?.close();
      this.#file = file;
      this.#compressedFile = undefined;
      const { since, tail } = this.#selection;
      if (since !== undefined && tail === "all") file.seek(await offsetSince(file, since, this.#turns));
      await this.#limitFile(file);
    }
    return true;
  }

  #openCompressed(named: NamedLog): void {
    this.#file?.close();
    this.#file = undefined;
    const fd = openPacked(this.#path, named);
    this.#compressed = fd === undefined ? missing(basename(named.path)) : compressedEntries(fd);
    this.#compressedFile = named;
  }

  async #limitFile(file: LogFile): Promise<void> {
    const { until } = this.#selection;
    const { offset } = file;
    this.#limit = until === undefined ? undefined : await offsetUntil(file, until, this.#turns);
    file.seek(offset);
    if (this.#end?.inode === file.inode) this.#limit = Math.min(this.#limit ?? this.#end.offset, this.#end.offset);
  }

  /** The entries in the half line at the end, when nothing more will be written. */
  async rest(): Promise<LogEntry[]> {
    const file = this.#file;
    if (file === undefined || file.unfinished === 0) return [];
    const { size } = file;
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    // It was being written, or it is what a power loss left.
    const more = file.size > Math.max(size, file.offset) || file.offset < file.size ? file.read() : undefined;
    return more ?? file.readUnfinished();
  }

  /** The next entries; undefined when everything that is written now was returned. */
  async next(): Promise<LogEntry[] | undefined> {
    for (;;) {
      if (this.#compressed !== undefined) {
        const entries = await this.#readCompressed();
        if (entries !== undefined) return entries;
        this.#compressed = undefined;
      } else if (this.#file === undefined && this.#compressedFile === undefined) {
        const [oldest] = logFiles(this.#path);
        if (oldest === undefined || !(await this.#open(oldest))) return undefined;
        continue;
      }
      const entries = this.#file === undefined ? undefined : this.#readFile(this.#file);
      if (entries !== undefined) return entries;
      if (this.#extend()) continue;
      // Entries after the limit are too young, or were written after the client's request.
      const past = this.#file !== undefined && this.#limit !== undefined;
      if (past && this.#end?.inode === this.#file?.inode) {
        this.#finished = true;
        return undefined;
      }
      if (!this.#rotated) {
        this.#rotated = this.#isRotated();
        if (!this.#rotated) {
          if (past) this.#finished = true;
          return undefined;
        }
        // Entries that were written between the last read and the rotation.
        continue;
      }
      const rest = past ? [] : (this.#file?.readUnfinished() ?? []);
      const gap = await this.#advance();
      if (gap === undefined) return rest.length > 0 ? rest : undefined;
      if (rest.length > 0 || gap.length > 0) return [...rest, ...gap];
    }
  }

  #readFile(file: LogFile): LogEntry[] | undefined {
    const { offset } = file;
    const entries = file.read(this.#limit);
    // The file was truncated in place: the positions in it are gone, and new entries are younger.
    if (file.offset < offset) {
      this.#chosen.keepFiles((inode) => inode !== file.inode);
      if (this.#follows) this.#limit = undefined;
    }
    return entries;
  }

  async #readCompressed(): Promise<LogEntry[] | undefined> {
    try {
      const { value, done } = await this.#compressed!.next();
      return done === true ? undefined : value;
    } catch (error) {
      this.#compressed = undefined;
      return [{ kind: "missing", what: `${this.place.name} cannot be unpacked: ${messageOf(error)}`, offset: 0 }];
    }
  }

  /** After the limit, only the rest of lines that began before it is wanted. */
  #extend(): boolean {
    if (this.#file === undefined || this.#limit === undefined || this.#selection.until === undefined) return false;
    const last = this.#end?.inode === this.#file.inode ? this.#end.offset : this.#file.size;
    const limit = Math.min(this.#limit + chunkBytes, last);
    if (!this.#chosen.hasOpenLine || limit <= this.#limit || limit > this.#chosen.shownAt + restOfLineBytes)
      return false;
    this.#limit = limit;
    return true;
  }

  #isRotated(): boolean {
    if (this.#file === undefined) return true;
    if (statSync(this.#path, { throwIfNoEntry: false })?.ino === this.#file.inode) return false;
    // In the middle of a rotation the file may have a number and still be the youngest.
    const youngest = logFiles(this.#path).at(-1);
    return youngest !== undefined && youngest.inode !== this.#file.inode;
  }

  /**
   * Continues with the next file: a rotated one, or the one that replaced the current one. Returns how many files are missing in between;
   * undefined when there is no next one.
   */
  async #advance(): Promise<LogEntry[] | undefined> {
    const open = this.#file?.inode;
    const packed = this.#compressedFile?.inode;
    // No other file gets the inode of an open file. That of an original is free later and belongs to another file then, which is younger.
    const isBefore = ({ inode, original, compressed }: NamedLog): boolean =>
      open === undefined ? compressed && inode === packed : compressed ? original === open : inode === open;
    this.#rotated = false;
    let waitedMs = 0;
    for (let tries = 1; ; tries++) {
      const files = logFiles(this.#path);
      // If the file was removed by rotations, the oldest existing file follows.
      const position = files.findLastIndex(isBefore);
      const next = files[position + 1];
      if (next === undefined) return undefined;
      const missing = position < 0 ? 0 : files[position]!.number - next.number - 1;
      if (missing > 0 && waitedMs < rotationMs) {
        waitedMs += settleMs;
        await new Promise((resolve) => setTimeout(resolve, settleMs));
        continue;
      }
      if (!(await this.#open(next))) {
        if (tries === maxRotationTries) return undefined;
        await this.#turns.end();
        continue;
      }
      // Positions in a file that is behind, or was removed, are behind too.
      const ahead = new Set(files.slice(position + 1).map(({ inode }) => inode));
      this.#chosen.keepFiles((inode) => ahead.has(inode));
      if (missing <= 0) return [];
      const name = `${basename(this.#path)}.${next.number + missing}`;
      const what = missing === 1 ? `${name} is missing` : `${name} and ${missing - 1} more rotated files are missing`;
      return [{ kind: "missing", what, offset: 0 }];
    }
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
    void this.#compressed?.return(undefined);
  }
}

async function* missing(name: string): AsyncGenerator<LogEntry[]> {
  yield [{ kind: "missing", what: `${name} is missing`, offset: 0 }];
}
