/** One file of a log, read in chunks as records. */
import { closeSync, constants, createReadStream, fstatSync, openSync, readSync } from "node:fs";
import { basename } from "node:path";
import { createGunzip } from "node:zlib";
import { EngineError, isErrno } from "@fathom/base";
import { EntrySplitter, lengthBytes, messageStart } from "./log-entry.ts";
import { RecordSplitter, type LogEntry } from "./log-record.ts";

export const chunkBytes = 64 * 1024;

export type LogForm = "json" | "entries";
type Splitter = Pick<RecordSplitter, "push" | "end" | "unfinished">;

/** An entry begins with its length, of at most 24 bits. */
function formOf(bytes: Buffer): LogForm {
  return bytes[0] === 0 ? "entries" : "json";
}

function newSplitter(form: LogForm | undefined, offset: number): Splitter {
  return form === "entries" ? new EntrySplitter(offset) : new RecordSplitter(offset);
}

/** An open log file. A rename does not change its position and identity. */
export class LogFile {
  readonly #fd: number;
  readonly name: string;
  readonly inode: number;
  #offset = 0;
  #form: LogForm | undefined;
  #splitter: Splitter | undefined;

  private constructor(fd: number, name: string, inode: number) {
    this.#fd = fd;
    this.name = name;
    this.inode = inode;
  }

  /** undefined when the file does not exist. @throws data-loss when it is not a regular file */
  static open(path: string): LogFile | undefined {
    let fd: number;
    try {
      // Opening a pipe would wait for its writer, and the daemon would wait too.
      fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
    const facts = fstatSync(fd);
    if (!facts.isFile()) {
      closeSync(fd);
      throw new EngineError("data-loss", `${path} is no file, so it is no log: move it away`);
    }
    return new LogFile(fd, basename(path), facts.ino);
  }

  /** For other readers of the same file. */
  get fd(): number {
    return this.#fd;
  }

  get size(): number {
    return fstatSync(this.#fd).size;
  }

  /** Position of the next bytes to read. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes at the end that are not a whole line yet. */
  get unfinished(): number {
    return this.#splitter?.unfinished ?? 0;
  }

  /** Of an empty file it is not known yet. */
  get form(): LogForm | undefined {
    if (this.#form !== undefined) return this.#form;
    const first = Buffer.alloc(1);
    if (readSync(this.#fd, first, 0, 1, 0) === 1) this.#form = formOf(first);
    return this.#form;
  }

  seek(offset: number): void {
    this.#offset = offset;
    this.#splitter = undefined;
  }

  /** The entries of the next chunk, perhaps none; undefined at the (present) end, or at `end`. */
  read(end = Number.MAX_SAFE_INTEGER): LogEntry[] | undefined {
    // A log that was truncated in place starts again from the beginning.
    if (this.size < this.#offset) this.seek(0);
    const chunk = Buffer.allocUnsafe(Math.max(0, Math.min(chunkBytes, end - this.#offset)));
    const count = readSync(this.#fd, chunk, 0, chunk.length, this.#offset);
    if (count === 0) return undefined;
    if (this.#offset === 0) this.#form = formOf(chunk);
    this.#splitter ??= newSplitter(this.form, this.#offset);
    this.#offset += count;
    return this.#splitter.push(chunk.subarray(0, count));
  }

  /** The entries in the half line at the end, when nobody will finish it. */
  readUnfinished(): LogEntry[] {
    return this.#splitter?.end() ?? [];
  }

  /** In a file of entries: where an entry begins, about a chunk before the end of another; farther before it only after damage. */
  entryBefore(end: number): number {
    let at = end;
    for (
      let begin = this.#entryThatEnds(at);
      begin !== undefined && end - at < chunkBytes;
      begin = this.#entryThatEnds(at)
    )
      at = begin;
    return at < end ? at : this.#markBefore(end);
  }

  /** Each entry ends with its length. */
  #entryThatEnds(at: number): number | undefined {
    const length = Buffer.alloc(lengthBytes);
    if (at < 2 * lengthBytes || readSync(this.#fd, length, 0, lengthBytes, at - lengthBytes) < lengthBytes)
      return undefined;
    const bytes = length.readUInt32BE(0);
    const begin = at - bytes - 2 * lengthBytes;
    if (bytes === 0 || begin < 0 || readSync(this.#fd, length, 0, lengthBytes, begin) < lengthBytes) return undefined;
    return length.readUInt32BE(0) === bytes ? begin : undefined;
  }

  /** Where something begins that looks like an entry. */
  #markBefore(end: number): number {
    const block = Buffer.alloc(chunkBytes);
    for (let to = end - 1; to > lengthBytes; to -= chunkBytes / 2) {
      const from = Math.max(0, to - chunkBytes);
      const count = readSync(this.#fd, block, 0, to - from, from);
      const found = block.subarray(0, count).indexOf(messageStart, lengthBytes);
      if (found >= 0) return from + found - lengthBytes;
    }
    return 0;
  }

  /** The bytes unchanged, for code that looks for line ends. */
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

/** Entries of a rotated, compressed file, which this closes. @throws the error of zlib, after the entries before it */
export async function* compressedEntries(fd: number): AsyncGenerator<LogEntry[]> {
  let splitter: Splitter | undefined;
  const source = createReadStream("", { fd });
  const unpacked = source.pipe(createGunzip());
  source.on("error", (error) => unpacked.destroy(error));
  try {
    for await (const chunk of unpacked) {
      // oxlint-disable-next-line no-unsafe-type-assertion -- without an encoding a stream gives buffers
      const bytes = chunk as Buffer;
      splitter ??= newSplitter(formOf(bytes), 0);
      yield splitter.push(bytes);
    }
    if (splitter !== undefined) yield splitter.end();
  } finally {
    source.destroy();
    unpacked.destroy();
  }
}
