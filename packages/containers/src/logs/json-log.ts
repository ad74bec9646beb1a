/**
 * Reads json-file logs: one JSON object a line, `{"log":"text\n","stream":"stdout","time":"…","attrs":{…}}`, in `path` and its rotated
 * elders `path.1`, `path.2`, … Text that is no UTF-8 has U+FFFD in "log", and all bytes of the record in a member "bytes" (base64), which
 * other readers of the format skip. A record that is older than one before it, since the clock was set back, has in "latest" the latest time
 * before it. A record whose text has no newline is a piece of a longer line; all pieces of a line carry the same time.
 *
 * A log may be damaged (a power cut leaves zeros and half records): every record that is whole is found, also behind garbage on
 * the same line, and what is none is counted. The reader holds at most one chunk and one record of `maxRecordBytes` in memory.
 */
import { closeSync, constants, createReadStream, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { createGunzip } from "node:zlib";
import { EngineError } from "@fathom/base";

export const chunkBytes = 64 * 1024;
/** Of a record without its attributes: 16 KiB of text, each byte of it at most six. */
export const maxRecordBytes = 1024 * 1024;
/** How many numbers behind one that is listed are tried, listed or not. */
const unlisted = 3;
/** How often the files are looked for again because they were rotated twice meanwhile: then `unlisted` and the order of the search may not do. */
const maxLooks = 20;
/** How often a file may be renamed between its being found and its being opened. */
const maxRenames = 5;
const newline = 10;
/** How each record begins. It cannot be part of a text, where the quotes are escaped. */
const recordStart = Buffer.from('{"log":"');

export interface LogRecord {
  readonly log: string;
  /** What was written, where it is no UTF-8: `log` has U+FFFD then. */
  readonly bytes?: Buffer;
  readonly stream: "stdout" | "stderr";
  /** As written: RFC3339Nano. */
  readonly time: string;
  /** The latest time in the log before it, where that is later than its own. */
  readonly latest?: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** What is found in a file, in its order. `offset` is where it begins. */
export type LogEntry =
  | { readonly kind: "record"; readonly record: LogRecord; readonly offset: number }
  | { readonly kind: "damage"; readonly bytes: number; readonly offset: number }
  /** A file, or the rest of one, that cannot be read. */
  | { readonly kind: "missing"; readonly what: string; readonly offset: 0 };

/** Cuts bytes as they come into records. */
class RecordSplitter {
  #rest: Buffer = Buffer.alloc(0);
  /** Where `#rest` begins in the file. */
  #offset: number;

  constructor(offset: number) {
    this.#offset = offset;
  }

  /** Bytes that are no whole line yet. */
  get unfinished(): number {
    return this.#rest.length;
  }

  push(chunk: Buffer): LogEntry[] {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const entries: LogEntry[] = [];
    let start = 0;
    for (let end = data.indexOf(newline); end >= 0; end = data.indexOf(newline, start)) {
      if (end > start) addLine(entries, data.subarray(start, end), this.#offset + start);
      start = end + 1;
    }
    this.#keep(entries, data.subarray(start), this.#offset + start);
    return entries;
  }

  /** A line that does not end is kept from where a record may begin in it. */
  #keep(entries: LogEntry[], rest: Buffer, offset: number): void {
    let from = 0;
    if (rest.length > maxRecordBytes) {
      from = rest.lastIndexOf(recordStart);
      // The last bytes may be the beginning of a beginning.
      if (from <= 0) from = rest.length - recordStart.length + 1;
      entries.push({ kind: "damage", bytes: from, offset });
    }
    this.#rest = Buffer.from(rest.subarray(from));
    this.#offset = offset + from;
  }

  /** No more will come: what is unfinished is what a power cut left. */
  end(): LogEntry[] {
    const entries: LogEntry[] = [];
    if (this.#rest.length > 0) addLine(entries, this.#rest, this.#offset);
    this.#offset += this.#rest.length;
    this.#rest = Buffer.alloc(0);
    return entries;
  }
}

/** Of a line that is no record those in it that are whole: a writer goes on right behind what a power cut left. */
function addLine(entries: LogEntry[], line: Buffer, offset: number): void {
  const whole = parseLogLine(line);
  if (whole !== undefined) {
    entries.push({ kind: "record", record: whole, offset });
    return;
  }
  let damaged = 0;
  for (let start = 0; start < line.length;) {
    const next = line.indexOf(recordStart, start + 1);
    const end = next < 0 ? line.length : next;
    const part = line.subarray(start, end);
    const length = part.lastIndexOf("}") + 1;
    const record = part.indexOf(recordStart) === 0 && length > 0 ? parseLogLine(part.subarray(0, length)) : undefined;
    if (record === undefined) damaged += part.length;
    else {
      if (damaged > 0) entries.push({ kind: "damage", bytes: damaged, offset: offset + start - damaged });
      entries.push({ kind: "record", record, offset: offset + start });
      damaged = part.length - length;
    }
    start = end;
  }
  if (damaged > 0) entries.push({ kind: "damage", bytes: damaged, offset: offset + line.length - damaged });
}

/** An open log file; position and identity survive its being renamed. */
export class LogFile {
  readonly #fd: number;
  readonly name: string;
  readonly inode: number;
  #offset = 0;
  #splitter = new RecordSplitter(0);

  private constructor(fd: number, name: string, inode: number) {
    this.#fd = fd;
    this.name = name;
    this.inode = inode;
  }

  /** undefined where there is no such file. @throws data-loss where something else lies */
  static open(path: string): LogFile | undefined {
    let fd: number;
    try {
      // A pipe would wait for its writer, and the daemon with it.
      fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
    const facts = fstatSync(fd);
    if (!facts.isFile()) {
      closeSync(fd);
      throw new EngineError("data-loss", `${path} is no file, so it is no log: move it away`);
    }
    return new LogFile(fd, basename(path), facts.ino);
  }

  get size(): number {
    return fstatSync(this.#fd).size;
  }

  /** Where the next bytes are read. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes at the end that are no whole line. */
  get unfinished(): number {
    return this.#splitter.unfinished;
  }

  seek(offset: number): void {
    this.#offset = offset;
    this.#splitter = new RecordSplitter(offset);
  }

  /** The entries of the next chunk, which may be none; undefined at the (present) end, or at `end`. */
  read(end = Number.MAX_SAFE_INTEGER): LogEntry[] | undefined {
    // A log that was truncated in place begins again.
    if (this.size < this.#offset) this.seek(0);
    const chunk = Buffer.allocUnsafe(Math.max(0, Math.min(chunkBytes, end - this.#offset)));
    const count = readSync(this.#fd, chunk, 0, chunk.length, this.#offset);
    if (count === 0) return undefined;
    this.#offset += count;
    return this.#splitter.push(chunk.subarray(0, count));
  }

  /** What the half line at the end holds, when nobody will finish it. */
  readUnfinished(): LogEntry[] {
    return this.#splitter.end();
  }

  /** Bytes as they are, for who looks for line ends. */
  readBytes(into: Buffer, offset: number, length: number): number {
    return readSync(this.#fd, into, 0, length, offset);
  }

  close(): void {
    closeSync(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Entries of a rotated, compressed file. @throws what zlib finds wrong with it, after what came before that */
export async function* compressedEntries(path: string): AsyncGenerator<LogEntry[]> {
  const splitter = new RecordSplitter(0);
  const source = createReadStream(path);
  const unpacked = source.pipe(createGunzip());
  source.on("error", (error) => unpacked.destroy(error));
  try {
    // oxlint-disable-next-line no-unsafe-type-assertion -- without an encoding a stream gives buffers
    for await (const chunk of unpacked) yield splitter.push(chunk as Buffer);
    yield splitter.end();
  } finally {
    source.destroy();
    unpacked.destroy();
  }
}

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

/** undefined for a line that is no record. */
export function parseLogLine(line: Buffer): LogRecord | undefined {
  // Of the 100 MB that a power cut may leave none is looked at twice.
  if (line[0] !== 0x7b) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line.toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { log, stream, time, attrs, bytes, latest } = value as Record<string, unknown>;
  if (typeof log !== "string" || typeof time !== "string") return undefined;
  const attributes: Record<string, string> = {};
  if (typeof attrs === "object" && attrs !== null)
    for (const [key, text] of Object.entries(attrs)) if (typeof text === "string") attributes[key] = text;
  return {
    log,
    ...(typeof bytes === "string" ? { bytes: Buffer.from(bytes, "base64") } : {}),
    stream: stream === "stderr" ? "stderr" : "stdout",
    time,
    ...(typeof latest === "string" ? { latest } : {}),
    attributes,
  };
}
