/**
 * A container's log as clients read it: records of the json-file, chosen by stream, time and number, formatted and framed, and
 * followed while the container runs.
 */
import { parseRfc3339Nano } from "@fathom/base";
import { findTail, LogFile, logFiles, parseLogLine, readCompressedLines, type LogRecord } from "./json-log.ts";

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

/** Bytes put together before they are handed on. */
const batchBytes = 32 * 1024;

export async function* streamLog(
  path: string,
  selection: LogSelection,
  follower: LogFollower | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const reader = new Reader(path, selection);
  try {
    for (;;) {
      // Asked before reading: what is written after the last read and before the end must not be lost.
      const alive = follower?.alive() ?? false;
      for (let batch = reader.next(); batch !== undefined; batch = reader.next()) {
        if (signal.aborted) return;
        if (batch.length > 0) yield batch;
        if (reader.finished) return;
      }
      if (!alive || follower === undefined || signal.aborted) return;
      await follower.changed(signal);
    }
  } finally {
    reader.close();
  }
}

class Reader {
  readonly #path: string;
  readonly #selection: LogSelection;
  #file: LogFile | undefined;
  /** Older files still to be read before the current one. */
  #pending: string[];
  #compressed: Buffer[] = [];
  /** Past `until`: nothing more will come. */
  finished = false;

  constructor(path: string, selection: LogSelection) {
    this.#path = path;
    this.#selection = selection;
    const files = logFiles(path);
    const start = selection.tail === "all" ? { file: 0, offset: 0 } : findTail(files, selection.tail);
    this.#pending = files.slice(start.file);
    this.#open(this.#pending.shift()!, start.offset);
  }

  #open(path: string, offset: number): void {
    if (path.endsWith(".gz")) this.#compressed = readCompressedLines(path).slice(offset);
    else this.#file = LogFile.open(path, offset);
  }

  /** Formatted bytes of a batch (maybe none); undefined when all that is written now has been given. */
  next(): Uint8Array | undefined {
    const parts: Buffer[] = [];
    let size = 0;
    while (size < batchBytes && !this.finished) {
      const lines = this.#lines();
      if (lines === undefined) break;
      for (const line of lines) {
        const part = this.#format(line);
        if (part === undefined) continue;
        parts.push(...part);
        for (const piece of part) size += piece.length;
      }
      if (lines.length === 0) continue;
    }
    return parts.length === 0 && !this.finished ? undefined : Buffer.concat(parts);
  }

  #lines(): Buffer[] | undefined {
    for (;;) {
      if (this.#compressed.length > 0) return this.#compressed.splice(0);
      const lines = this.#file?.readLines();
      if (lines !== undefined) return lines;
      if (!this.#advance()) return undefined;
    }
  }

  /** Goes on to the next file: a rotated one, or the one that took the current one's place. */
  #advance(): boolean {
    if (this.#pending.length === 0) {
      if (this.#file === undefined) {
        this.#file = LogFile.open(this.#path);
        return this.#file !== undefined;
      }
      const newer = filesAfter(this.#path, this.#file.inode);
      if (newer.length === 0) return false;
      // What was written between the last read and the rotation.
      this.#pending = newer;
    }
    const next = this.#pending.shift()!;
    this.#file?.close();
    this.#file = undefined;
    this.#open(next, 0);
    return true;
  }

  #format(line: Buffer): Buffer[] | undefined {
    const record = parseLogLine(line);
    if (record === undefined) return undefined;
    const { since, until, stdout, stderr, tty } = this.#selection;
    if (since !== undefined || until !== undefined) {
      const time = parseRfc3339Nano(record.time) ?? 0n;
      if (since !== undefined && time < since) return undefined;
      if (until !== undefined && time > until) {
        this.finished = true;
        return undefined;
      }
    }
    if (this.finished || (record.stream === "stdout" ? !stdout : !stderr)) return undefined;
    const text = Buffer.from(formatRecord(record, this.#selection));
    if (tty) return [text];
    const header = Buffer.alloc(8);
    header[0] = record.stream === "stdout" ? 1 : 2;
    header.writeUInt32BE(text.length, 4);
    return [header, text];
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}

/** Files newer than the one with this inode, oldest first; empty when it still is the current one. */
function filesAfter(path: string, inode: number): string[] {
  const files = logFiles(path).filter((name) => !name.endsWith(".gz"));
  const inodes = files.map((name) => {
    const file = LogFile.open(name);
    file?.close();
    return file?.inode;
  });
  const position = inodes.lastIndexOf(inode);
  if (inodes.at(-1) === undefined) return [];
  // Rotated away altogether: all that is there is newer.
  return files.slice(position + 1);
}

/** Timestamps have all nine digits; attributes are sorted and escaped as a query. */
function formatRecord(record: LogRecord, selection: LogSelection): string {
  let text = record.log;
  if (selection.details) text = `${formatAttributes(record.attributes)} ${text}`;
  if (selection.timestamps) text = `${fixedNano(record.time)} ${text}`;
  return text;
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
