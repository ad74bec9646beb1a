/**
 * Where reading a log begins and ends, found without reading the whole log: the last lines in blocks from the end, a time by samples.
 *
 * Records are in the order of their time, with two exceptions: after the clock was set back, and in the pieces of a long line, which all have
 * the time of the first piece. So a binary search is not enough: each step takes many samples of lines.
 * `since` is found exactly, because the writer puts the latest earlier time into each record that is older than an earlier one. `until` may
 * miss a few lines that were written while the clock was wrong, between two samples.
 */
import { parseRfc3339Nano, type Turns } from "@fathom/base";
import { chunkBytes, compressedEntries, type LogFile } from "./log-file.ts";
import { maxRecordBytes, type LogEntry, type LogRecord } from "./log-record.ts";
import { openNamed, openPacked, type NamedLog } from "./rotated-files.ts";

const newline = 10;
/** A time is found with this precision; the rest is read. */
const blockBytes = 256 * 1024;
const samplesInStep = 64;
/** Read first for a sample; mostly this is enough. */
const sampleBytes = 16 * 1024;

type Stream = LogRecord["stream"];

/** A place in one of the files. */
export interface LogPosition {
  readonly inode: number;
  readonly offset: number;
}

export interface TailStart {
  /** The file in which reading begins, at its position; undefined when reading begins in a compressed file. */
  readonly file: LogFile | undefined;
  readonly compressed: (NamedLog & { readonly skipLines: number }) | undefined;
  /** Where the wanted records of each stream begin. The first piece of a line may come before lines of the other stream that are not wanted. */
  readonly from: Readonly<Record<Stream, LogPosition>> | undefined;
}

/** Whether `earlier` is a piece of the same line as the next record of its stream. */
export function continues(earlier: LogRecord | undefined, time: string | undefined): boolean {
  return earlier !== undefined && !earlier.log.endsWith("\n") && earlier.time === time;
}

/**
 * Where the last `wanted` lines before `end` (or before the log's end) begin; undefined when the log has no more lines than that; "gone" when a
 * rotation removed one of `files` before it was read.
 */
export async function findTail(
  log: string,
  files: readonly NamedLog[],
  wanted: number,
  end: LogPosition | undefined,
  turns: Turns,
): Promise<TailStart | "gone" | undefined> {
  const search = new TailSearch(wanted);
  for (const named of files.toReversed()) {
    if (named.compressed) {
      if (search.from !== undefined) break;
      const skipLines = search.takeCompressed(await countLines(log, named, turns));
      if (skipLines !== undefined) return { file: undefined, compressed: { ...named, skipLines }, from: undefined };
      continue;
    }
    using file = openNamed(log, named);
    if (file === undefined) return "gone";
    const size = end?.inode === file.inode ? Math.min(end.offset, file.size) : file.size;
    if (await searchFile(file, size, search, turns)) break;
  }
  const { from } = search;
  if (from === undefined) return undefined;
  const { inode, offset } = search.earlier(from.stdout, from.stderr);
  const named = files.find((found) => found.inode === inode);
  const file = named === undefined ? undefined : openNamed(log, named);
  if (file === undefined) return "gone";
  file.seek(offset);
  return { file, compressed: undefined, from };
}

async function searchFile(file: LogFile, size: number, search: TailSearch, turns: Turns): Promise<boolean> {
  let end = size;
  if (search.begin({ inode: file.inode, offset: end })) return true;
  while (end > 0) {
    const start = await startOfLines(file, end, turns);
    file.seek(start);
    const entries: LogEntry[] = [];
    for (let more = file.read(end); more !== undefined; more = file.read(end)) {
      entries.push(...more);
      await turns.after(chunkBytes);
    }
    entries.push(...file.readUnfinished());
    for (const entry of entries.toReversed())
      if (search.take(entry, { inode: file.inode, offset: entry.offset })) return true;
    end = start;
  }
  return false;
}

/** A position where a whole line begins, about a chunk before `end`; farther before it only when one line is longer. */
async function startOfLines(file: LogFile, end: number, turns: Turns): Promise<number> {
  if (file.form === "entries") return file.entryBefore(end);
  const buffer = Buffer.allocUnsafe(chunkBytes);
  for (let to = end - 1; to > 0;) {
    const from = Math.max(0, to - chunkBytes);
    const count = file.readBytes(buffer, from, to - from);
    if (from === 0) return 0;
    const found = buffer.subarray(0, count).indexOf(newline);
    if (found >= 0) return from + found + 1;
    to = from;
    await turns.after(count);
  }
  return 0;
}

/** Takes records from the last to the first, until it has enough whole lines. */
class TailSearch {
  #left: number;
  #boundary: LogPosition | undefined;
  /** The position of the entry that was taken before. */
  #last: LogPosition | undefined;
  /** For each stream, the record that was taken last. */
  readonly #next = new Map<Stream, { time: string; position: LogPosition }>();
  /** Streams whose line may have begun before the boundary, and whether it has. */
  readonly #open = new Map<Stream, boolean>();
  #looked = 0;
  /** The files that were searched, the youngest first. */
  readonly #inodes: number[] = [];

  constructor(wanted: number) {
    this.#left = wanted;
  }

  begin(end: LogPosition): boolean {
    this.#inodes.push(end.inode);
    this.#last ??= end;
    // No line is wanted.
    if (this.#left === 0 && this.#next.size === 0) this.#boundary ??= end;
    return this.#boundary !== undefined && this.#open.size === 0;
  }

  /** True when nothing before this entry is wanted. */
  take(entry: LogEntry, position: LogPosition): boolean {
    if (entry.kind === "record") {
      const { record } = entry;
      const { stream, time } = record;
      const piece = continues(record, this.#next.get(stream)?.time);
      if (this.#boundary === undefined && !piece) {
        if (this.#left === 0) {
          this.#boundary = this.#last;
          for (const name of this.#next.keys()) this.#open.set(name, false);
        } else this.#left--;
      }
      if (this.#boundary !== undefined) {
        if (piece && this.#open.has(stream)) this.#open.set(stream, true);
        else this.#open.delete(stream);
        this.#looked += record.log.length;
        // Pieces of a line are never farther apart; if they are, the line is shown from the piece that was found.
        if (this.#looked > maxRecordBytes) for (const [name, found] of this.#open) if (!found) this.#open.delete(name);
      }
      if (this.#boundary === undefined || piece) this.#next.set(stream, { time, position });
    }
    this.#last = position;
    return this.#boundary !== undefined && this.#open.size === 0;
  }

  /** How many lines of the file to leave out; undefined when the file has too few. */
  takeCompressed(lines: number): number | undefined {
    if (lines > this.#left) return lines - this.#left;
    this.#left -= lines;
    return undefined;
  }

  earlier(a: LogPosition, b: LogPosition): LogPosition {
    if (a.inode === b.inode) return a.offset < b.offset ? a : b;
    return this.#inodes.indexOf(a.inode) > this.#inodes.indexOf(b.inode) ? a : b;
  }

  get from(): Record<Stream, LogPosition> | undefined {
    const boundary = this.#boundary;
    if (boundary === undefined) return undefined;
    const of = (stream: Stream): LogPosition => this.#next.get(stream)?.position ?? boundary;
    return { stdout: of("stdout"), stderr: of("stderr") };
  }
}

async function countLines(log: string, named: NamedLog, turns: Turns): Promise<number> {
  let lines = 0;
  const fd = openPacked(log, named);
  if (fd === undefined) return 0;
  const last = new Map<Stream, LogRecord>();
  try {
    for await (const entries of compressedEntries(fd)) {
      for (const entry of entries)
        if (entry.kind === "record") {
          if (!continues(last.get(entry.record.stream), entry.record.time)) lines++;
          last.set(entry.record.stream, entry.record);
        }
      await turns.after(chunkBytes);
    }
  } catch {
    // The code that reads the file reports the error.
  }
  return lines;
}

interface Sample {
  readonly ns: bigint;
  /** The latest time before this position, if the writer recorded it. */
  readonly latestNs: bigint;
  readonly offset: number;
}

/** The first line between `from` and `end` that certainly begins there, because a whole line precedes it. */
async function sample(file: LogFile, from: number, end: number, turns: Turns): Promise<Sample | undefined> {
  const ended = new Set<Stream>();
  file.seek(from);
  for (let until = from + sampleBytes; ; until += chunkBytes) {
    const entries = file.read(Math.min(until, end));
    if (entries === undefined) return undefined;
    for (const entry of entries) {
      if (entry.kind !== "record") continue;
      const { stream, log, time, latest } = entry.record;
      const ns = ended.has(stream) ? parseRfc3339Nano(time) : undefined;
      if (ns !== undefined) return { ns, latestNs: parseRfc3339Nano(latest ?? time) ?? ns, offset: entry.offset };
      if (log.endsWith("\n")) ended.add(stream);
      else ended.delete(stream);
    }
    await turns.after(chunkBytes);
  }
}

/** A position before the first line that is not older than `since`: at most about a block before it. */
export async function offsetSince(file: LogFile, since: bigint, turns: Turns): Promise<number> {
  // Entries have no samples. Their files are small, and the reader skips what is too old.
  if (file.form === "entries") return 0;
  let low = 0;
  for (let high = file.size; high - low > blockBytes;) {
    const step = Math.max(blockBytes, Math.ceil((high - low) / samplesInStep));
    const limit = high;
    for (let at = low + step; at < limit; at += step) {
      const found = await sample(file, at, Math.min(at + step, limit), turns);
      if (found === undefined) continue;
      if (found.latestNs >= since) {
        high = at;
        break;
      }
      low = found.offset;
    }
    if (step === blockBytes || high - low > step * 2) break;
  }
  return low;
}

/** A position after the last line that is not younger than `until`; undefined when that is the end. */
export async function offsetUntil(file: LogFile, until: bigint, turns: Turns): Promise<number | undefined> {
  if (file.form === "entries") return undefined;
  const size = file.size;
  let low = 0;
  let high = size;
  while (high - low > blockBytes) {
    const step = Math.max(blockBytes, Math.ceil((high - low) / samplesInStep));
    const bottom = low;
    for (let at = high - step; at > bottom; at -= step) {
      const found = await sample(file, at, Math.min(at + step, size), turns);
      if (found === undefined) continue;
      if (found.ns <= until) {
        low = at;
        break;
      }
      high = found.offset;
    }
    if (step === blockBytes || high - low > step * 2) break;
  }
  return high === size ? undefined : high;
}
