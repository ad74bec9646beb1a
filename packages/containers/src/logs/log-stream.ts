/**
 * A container's log as clients read it: records of the json-file, chosen by stream, time and number, formatted and framed, and
 * followed while the container runs.
 */
import { statSync } from "node:fs";
import { basename } from "node:path";
import { messageOf, parseRfc3339Nano, Turns } from "@fathom/base";
import {
  chunkBytes,
  compressedEntries,
  LogFile,
  logFiles,
  openNamed,
  type LogEntry,
  type LogRecord,
  type NamedLog,
} from "./json-log.ts";
import { continues, findTail, offsetSince, offsetUntil, type LogPosition, type TailStart } from "./log-position.ts";

export interface LogSelection {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tail: number | "all";
  /** Nanoseconds since the epoch. */
  readonly since: bigint | undefined;
  readonly until: bigint | undefined;
  readonly timestamps: boolean;
  readonly details: boolean;
  /** Without a terminal each record is a frame; with one the bytes are raw. */
  readonly tty: boolean;
}

/** What following needs to know of the writer. */
export interface LogFollower {
  /** Resolves when the file or its directory changed, the writer ended, or `signal` aborted. */
  changed(signal: AbortSignal): Promise<void>;
  /** True while more may be written. */
  alive(): boolean;
}

/** What was no record in a log that was read. */
export interface LogDamage {
  readonly bytes: number;
  /** Places, and the first of them. */
  readonly count: number;
  readonly file: string;
  readonly offset: number;
}

/** Bytes put together before they are handed on. */
const batchBytes = 32 * 1024;

/** How far behind the end of what is wanted the rest of a line is looked for. */
const restOfLineBytes = 1024 * 1024;

/** Places of damage that are named one by one. */
const maxNotes = 20;

/** How often the log's files are looked for again because a rotation took one of them away. */
const maxRotationTries = 50;

/** How long a file may be missing because the writer stands in the middle of a rotation. */
const rotationMs = 500;

/** How long half a record at the end of a log may be what is being written just now. */
const settleMs = 50;

/**
 * The log's records from the first to the last that are wanted, whatever its size: work goes on in turns with everything else, and memory is bounded.
 * What is no record is skipped, said as a line of stderr that begins with "fathom: ", and given to `damaged` in sum.
 */
export async function* streamLog(
  path: string,
  selection: LogSelection,
  follower: LogFollower | undefined,
  signal: AbortSignal,
  damaged?: (damage: LogDamage) => void,
): AsyncGenerator<Uint8Array> {
  const turns = new Turns(signal);
  const reader = new Reader(path, selection, follower !== undefined, turns);
  try {
    // Its first part waits for the others' too: many clients come at once.
    await turns.end();
    await reader.open();
    for (;;) {
      // Asked before reading: what is written after the last read and before the end must not be lost.
      const alive = follower?.alive() ?? false;
      for (let batch = await reader.next(signal); batch !== undefined; batch = await reader.next(signal)) {
        if (signal.aborted) return;
        yield batch;
      }
      if (signal.aborted) return;
      if (!alive || follower === undefined || reader.finished) break;
      await follower.changed(signal);
    }
    const last = await reader.end();
    if (last.length > 0 && !signal.aborted) yield last;
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    reader.close();
    if (reader.damage !== undefined) damaged?.(reader.damage);
  }
}

type Stream = LogRecord["stream"];

class Reader {
  readonly #path: string;
  readonly #selection: LogSelection;
  readonly #follows: boolean;
  readonly #turns: Turns;
  #file: LogFile | undefined;
  #compressed: AsyncGenerator<LogEntry[]> | undefined;
  #compressedFile: NamedLog | undefined;
  /** Lines of the compressed file that are not wanted. */
  #skipLines = 0;
  /** Where the present file is read to: what is behind is too young. */
  #limit: number | undefined;
  /** Where the last record that was shown is. */
  #shownAt = 0;
  /** The present file has been renamed: when it is read to its end, the next is its turn. */
  #rotated = false;
  /** Who does not follow reads what was there at the beginning. */
  #end: LogPosition | undefined;
  /** From where on records are wanted; without a stream: all. */
  readonly #from = new Map<Stream, LogPosition>();
  readonly #last = new Map<Stream, LogRecord>();
  #lastTime: string | undefined;
  #skipped = 0;
  #skippedAt: { readonly file: string; readonly offset: number } | undefined;
  #unnamed = 0;
  damage: LogDamage | undefined;
  /** Past `until`, or past the end that was the end at the beginning: nothing more will come. */
  finished = false;

  constructor(path: string, selection: LogSelection, follows: boolean, turns: Turns) {
    this.#turns = turns;
    this.#path = path;
    this.#selection = selection;
    this.#follows = follows;
  }

  async open(): Promise<void> {
    const { tail } = this.#selection;
    for (let tries = 1; ; tries++) {
      const files = logFiles(this.#path);
      const youngest = files.at(-1);
      if (youngest === undefined) {
        this.finished = !this.#follows;
        return;
      }
      if (!this.#follows) this.#end = { inode: youngest.inode, offset: youngest.size };
      const start = tail === "all" ? undefined : await findTail(this.#path, files, tail, this.#end, this.#turns);
      if (start !== undefined && start !== "gone") return this.#openTail(start);
      if ((start === undefined && (await this.#open(files[0]!))) || tries === maxRotationTries) return;
    }
  }

  async #openTail({ file, compressed, from }: TailStart): Promise<void> {
    if (from !== undefined) for (const stream of ["stdout", "stderr"] as const) this.#from.set(stream, from[stream]);
    if (compressed !== undefined) {
      this.#openCompressed(compressed);
      this.#skipLines = compressed.skipLines;
    }
    this.#file = file;
    if (file !== undefined) await this.#limitFile(file);
  }

  /** False when a rotation has taken the file away: the present one stays. */
  async #open(named: NamedLog): Promise<boolean> {
    this.#skipLines = 0;
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
    this.#compressed = compressedEntries(named.path);
    this.#compressedFile = named;
  }

  async #limitFile(file: LogFile): Promise<void> {
    const { until } = this.#selection;
    const { offset } = file;
    this.#limit = until === undefined ? undefined : await offsetUntil(file, until, this.#turns);
    file.seek(offset);
    if (this.#end?.inode === file.inode) this.#limit = Math.min(this.#limit ?? this.#end.offset, this.#end.offset);
  }

  /** Formatted bytes of a batch; undefined when all that is written now has been given, or `signal` aborted. */
  async next(signal: AbortSignal): Promise<Uint8Array | undefined> {
    const parts: Buffer[] = [];
    let size = 0;
    while (size < batchBytes && !this.finished && !signal.aborted) {
      const entries = await this.#entries();
      if (entries === undefined) break;
      for (const entry of entries) {
        const before = parts.length;
        this.#take(entry, parts);
        for (let i = before; i < parts.length; i++) size += parts[i]!.length;
      }
      await this.#turns.after(chunkBytes);
    }
    return parts.length === 0 ? undefined : Buffer.concat(parts);
  }

  /** What is left when nothing more will be written. */
  async end(): Promise<Uint8Array> {
    const parts: Buffer[] = [];
    const file = this.#file;
    if (file !== undefined && file.unfinished > 0) {
      const { size } = file;
      await new Promise((resolve) => setTimeout(resolve, settleMs));
      // It was being written, or is all that a power cut left of it.
      const more = file.size > Math.max(size, file.offset) || file.offset < file.size ? file.read() : undefined;
      for (const entry of more ?? file.readUnfinished()) this.#take(entry, parts);
    }
    this.#note(parts, true);
    return Buffer.concat(parts);
  }

  async #entries(): Promise<LogEntry[] | undefined> {
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
      // What comes behind the limit is too young, or was written after the client asked.
      const past = this.#file !== undefined && this.#limit !== undefined;
      if (past && this.#end?.inode === this.#file?.inode) {
        this.finished = true;
        return undefined;
      }
      if (!this.#rotated) {
        this.#rotated = this.#isRotated();
        if (!this.#rotated) {
          if (past) this.finished = true;
          return undefined;
        }
        // What was written between the last read and the rotation.
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
    // It was truncated in place: what was to be found in it is gone, and what comes was written later.
    if (file.offset < offset) {
      for (const [stream, from] of this.#from) if (from.inode === file.inode) this.#from.delete(stream);
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
      return [{ kind: "missing", what: `${this.#name} cannot be unpacked: ${messageOf(error)}`, offset: 0 }];
    }
  }

  /** Behind the limit the rest of lines that began before it is wanted. */
  #extend(): boolean {
    if (this.#file === undefined || this.#limit === undefined || this.#selection.until === undefined) return false;
    const open = [...this.#last.values()].some((record) => !record.log.endsWith("\n") && this.#inTime(record));
    const last = this.#end?.inode === this.#file.inode ? this.#end.offset : this.#file.size;
    const limit = Math.min(this.#limit + chunkBytes, last);
    if (!open || limit <= this.#limit || limit > this.#shownAt + restOfLineBytes) return false;
    this.#limit = limit;
    return true;
  }

  #isRotated(): boolean {
    if (this.#file === undefined) return true;
    if (statSync(this.#path, { throwIfNoEntry: false })?.ino === this.#file.inode) return false;
    // In the middle of a rotation it may have a number and still be the youngest.
    const youngest = logFiles(this.#path).at(-1);
    return youngest !== undefined && youngest.inode !== this.#file.inode;
  }

  /**
   * Goes on to the next file: a rotated one, or the one that took the current one's place. Gives what is missing between; undefined when there
   * is no next one.
   */
  async #advance(): Promise<LogEntry[] | undefined> {
    const before = this.#file?.inode ?? this.#compressedFile?.inode;
    this.#rotated = false;
    let waitedMs = 0;
    for (let tries = 1; ; tries++) {
      const files = logFiles(this.#path);
      // One that was rotated away altogether is followed by the oldest that is there.
      const position = files.findIndex((file) => file.inode === before);
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
      // What was looked for in a file that is behind, or gone, is behind too.
      const ahead = new Set(files.slice(position + 1).map(({ inode }) => inode));
      for (const [stream, from] of this.#from) if (!ahead.has(from.inode)) this.#from.delete(stream);
      if (missing <= 0) return [];
      const name = `${basename(this.#path)}.${next.number + missing}`;
      const what = missing === 1 ? `${name} is missing` : `${name} and ${missing - 1} more rotated files are missing`;
      return [{ kind: "missing", what, offset: 0 }];
    }
  }

  get #name(): string {
    return this.#file?.name ?? basename(this.#compressedFile?.path ?? this.#path);
  }

  #take(entry: LogEntry, parts: Buffer[]): void {
    if (entry.kind === "record") return this.#takeRecord(entry.record, entry.offset, parts);
    // Damage among lines that are not wanted is not said.
    if (this.#from.size > 0 && ![...this.#from.values()].every((from) => this.#reached(from, entry.offset))) return;
    if (entry.kind === "missing") {
      this.#sum(0, 0);
      this.#say(`fathom: ${entry.what}`, parts);
      return;
    }
    this.#skippedAt ??= { file: this.#name, offset: entry.offset };
    this.#skipped += entry.bytes;
  }

  #reached(from: LogPosition, offset: number): boolean {
    return this.#file?.inode === from.inode && offset >= from.offset;
  }

  #takeRecord(record: LogRecord, offset: number, parts: Buffer[]): void {
    const { stream } = record;
    const begins = !continues(this.#last.get(stream), record.time);
    this.#last.set(stream, record);
    if (begins && this.#skipLines > 0) {
      this.#skipLines--;
      return;
    }
    const from = this.#from.get(stream);
    if (from !== undefined) {
      if (!this.#reached(from, offset)) return;
      this.#from.delete(stream);
    }
    if (!this.#inTime(record)) {
      // What was lost at a time that nobody asks for is not said either.
      this.#skippedAt = undefined;
      this.#skipped = 0;
      return;
    }
    this.#note(parts, false);
    this.#shownAt = offset;
    this.#lastTime = record.time;
    if (stream === "stdout" ? this.#selection.stdout : this.#selection.stderr)
      this.#frame(stream, formatRecord(record, begins, this.#selection), parts);
  }

  /** All pieces of a line have the time of its first: they are chosen together. */
  #inTime(record: LogRecord): boolean {
    const { since, until } = this.#selection;
    if (since === undefined && until === undefined) return true;
    const time = parseRfc3339Nano(record.time) ?? 0n;
    return (since === undefined || time >= since) && (until === undefined || time <= until);
  }

  /** Says what was skipped before this place. */
  #note(parts: Buffer[], last: boolean): void {
    const at = this.#skippedAt;
    if (at !== undefined) {
      this.#sum(this.#skipped, 1);
      if (this.damage!.count <= maxNotes)
        this.#say(
          `fathom: ${this.#skipped} bytes that are no log records were skipped here (${at.file}, from byte ${at.offset} on)`,
          parts,
        );
      else this.#unnamed++;
      this.#skippedAt = undefined;
      this.#skipped = 0;
    }
    if (last && this.#unnamed > 0)
      this.#say(`fathom: bytes that are no log records were skipped at ${this.#unnamed} more places`, parts);
  }

  #sum(bytes: number, count: number): void {
    const { damage } = this;
    this.damage = {
      bytes: (damage?.bytes ?? 0) + bytes,
      count: (damage?.count ?? 0) + count,
      file: damage?.file ?? this.#skippedAt?.file ?? this.#name,
      offset: damage?.offset ?? this.#skippedAt?.offset ?? 0,
    };
  }

  #say(text: string, parts: Buffer[]): void {
    const { stderr, timestamps } = this.#selection;
    const time = timestamps && this.#lastTime !== undefined ? `${fixedNano(this.#lastTime)} ` : "";
    if (stderr) this.#frame("stderr", Buffer.from(`${time}${text}\n`), parts);
  }

  #frame(stream: Stream, bytes: Buffer, parts: Buffer[]): void {
    if (!this.#selection.tty) {
      const header = Buffer.alloc(8);
      header[0] = stream === "stdout" ? 1 : 2;
      header.writeUInt32BE(bytes.length, 4);
      parts.push(header);
    }
    parts.push(bytes);
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
    void this.#compressed?.return(undefined);
  }
}

/** Timestamps have all nine digits; attributes are sorted and escaped as a query. Both are a line's: its further pieces have none. */
function formatRecord(record: LogRecord, begins: boolean, selection: LogSelection): Buffer {
  let before = "";
  if (begins && selection.timestamps) before += `${fixedNano(record.time)} `;
  if (begins && selection.details) before += `${formatAttributes(record.attributes)} `;
  if (record.bytes === undefined) return Buffer.from(before + record.log);
  return before === "" ? record.bytes : Buffer.concat([Buffer.from(before), record.bytes]);
}

function formatAttributes(attributes: Readonly<Record<string, string>>): string {
  const escape = (part: string): string =>
    encodeURIComponent(part)
      .replace(/%20/g, "+")
      .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  return Object.keys(attributes)
    .sort()
    .map((key) => `${escape(key)}=${escape(attributes[key]!)}`)
    .join(",");
}

function fixedNano(time: string): string {
  const match = /^([^.Z]+)(?:\.(\d+))?Z$/.exec(time);
  return match ? `${match[1]}.${(match[2] ?? "").padEnd(9, "0")}Z` : time;
}
