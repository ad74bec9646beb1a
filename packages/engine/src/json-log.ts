/**
 * Reads json-file logs: one JSON object a line, `{"log":"text\n","stream":"stdout","time":"…","attrs":{…}}`, in `path` and its rotated
 * elders `path.1`, `path.2`, … The tail is found from the end, so a large log is not read for its last lines.
 *
 * A line that cannot be parsed (cut by a power loss) is skipped. The reader holds at most one chunk and one line in memory; a
 * line longer than `maxLineBytes` is dropped.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { gunzipSync } from "node:zlib";

const chunkBytes = 64 * 1024;
const maxLineBytes = 1024 * 1024;
const newline = 10;

export interface LogRecord {
  readonly log: string;
  readonly stream: "stdout" | "stderr";
  /** As written: RFC3339Nano. */
  readonly time: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** An open log file; position and identity survive its being renamed. */
export class LogFile {
  readonly #fd: number;
  readonly inode: number;
  #offset: number;
  #rest: Buffer = Buffer.alloc(0);
  #skipping = false;

  private constructor(fd: number, inode: number, offset: number) {
    this.#fd = fd;
    this.inode = inode;
    this.#offset = offset;
  }

  /** undefined where there is no such file. */
  static open(path: string, offset = 0): LogFile | undefined {
    let fd: number;
    try {
      fd = openSync(path, "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
    return new LogFile(fd, fstatSync(fd).ino, offset);
  }

  /** The lines that are whole by now, a chunk's worth; undefined at the (present) end. */
  readLines(): Buffer[] | undefined {
    const chunk = Buffer.allocUnsafe(chunkBytes);
    // A log that was truncated in place begins again.
    if (fstatSync(this.#fd).size < this.#offset) this.#offset = 0;
    const count = readSync(this.#fd, chunk, 0, chunkBytes, this.#offset);
    if (count === 0) return undefined;
    this.#offset += count;
    const data =
      this.#rest.length === 0 ? chunk.subarray(0, count) : Buffer.concat([this.#rest, chunk.subarray(0, count)]);
    const lines: Buffer[] = [];
    let start = 0;
    for (let end = data.indexOf(newline); end >= 0; end = data.indexOf(newline, start)) {
      if (!this.#skipping) lines.push(data.subarray(start, end));
      this.#skipping = false;
      start = end + 1;
    }
    this.#rest = Buffer.from(data.subarray(start));
    if (this.#rest.length > maxLineBytes) {
      this.#rest = Buffer.alloc(0);
      this.#skipping = true;
    }
    return lines;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Rotated files oldest first, the current one last. */
export function logFiles(path: string): string[] {
  const files: string[] = [path];
  for (let i = 1; i < 1000; i++) {
    const plain = `${path}.${i}`;
    const found = [plain, `${plain}.gz`].find((name) => statSync(name, { throwIfNoEntry: false }) !== undefined);
    if (found === undefined) break;
    files.unshift(found);
  }
  return files;
}

/** Lines of a rotated, compressed file. */
export function readCompressedLines(path: string): Buffer[] {
  const data = gunzipSync(readWhole(path), { maxOutputLength: 1 << 30 });
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = data.indexOf(newline); end >= 0; end = data.indexOf(newline, start)) {
    lines.push(data.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

function readWhole(path: string): Buffer {
  const fd = openSync(path, "r");
  try {
    const data = Buffer.alloc(fstatSync(fd).size);
    readSync(fd, data, 0, data.length, 0);
    return data;
  } finally {
    closeSync(fd);
  }
}

export interface TailPosition {
  /** Index into `logFiles`. */
  readonly file: number;
  /** For a plain file the byte, for a compressed one the line. */
  readonly offset: number;
}

/** Where the last `lines` lines begin, found by reading backwards. */
export function findTail(files: readonly string[], lines: number): TailPosition {
  let left = lines;
  for (let index = files.length - 1; index >= 0; index--) {
    const path = files[index]!;
    if (path.endsWith(".gz")) {
      const count = readCompressedLines(path).length;
      if (count >= left) return { file: index, offset: count - left };
      left -= count;
      continue;
    }
    const found = findTailInFile(path, left);
    if (found.offset !== undefined) return { file: index, offset: found.offset };
    left -= found.lines;
  }
  return { file: 0, offset: 0 };
}

/** `offset` is undefined when the file has fewer than `wanted` lines; then `lines` says how many. */
function findTailInFile(path: string, wanted: number): { offset: number | undefined; lines: number } {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return { offset: undefined, lines: 0 };
  }
  try {
    const size = fstatSync(fd).size;
    if (wanted <= 0) return { offset: size, lines: 0 };
    const chunk = Buffer.allocUnsafe(chunkBytes);
    let seen = 0;
    for (let end = size; end > 0;) {
      const start = Math.max(0, end - chunkBytes);
      readSync(fd, chunk, 0, end - start, start);
      for (let i = end - start - 1; i >= 0; i--) {
        // The newline that ends line n from the end is the one after which n-1 lines follow.
        if (chunk[i] !== newline) continue;
        if (seen === wanted) return { offset: start + i + 1, lines: seen };
        seen++;
      }
      end = start;
    }
    return { offset: seen === wanted ? 0 : undefined, lines: seen };
  } finally {
    closeSync(fd);
  }
}

/** undefined for a line that is no record. */
export function parseLogLine(line: Buffer): LogRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line.toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { log, stream, time, attrs } = value as Record<string, unknown>;
  if (typeof log !== "string" || typeof time !== "string") return undefined;
  const attributes: Record<string, string> = {};
  if (typeof attrs === "object" && attrs !== null)
    for (const [key, text] of Object.entries(attrs)) if (typeof text === "string") attributes[key] = text;
  return { log, stream: stream === "stderr" ? "stderr" : "stdout", time, attributes };
}
