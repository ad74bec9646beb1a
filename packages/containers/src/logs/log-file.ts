/** One file of a log, read in chunks as records. */
import { closeSync, constants, createReadStream, fstatSync, openSync, readSync } from "node:fs";
import { basename } from "node:path";
import { createGunzip } from "node:zlib";
import { EngineError, isErrno } from "@fathom/base";
import { RecordSplitter, type LogEntry } from "./log-record.ts";

export const chunkBytes = 64 * 1024;

/** An open log file. A rename does not change its position and identity. */
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
    return this.#splitter.unfinished;
  }

  seek(offset: number): void {
    this.#offset = offset;
    this.#splitter = new RecordSplitter(offset);
  }

  /** The entries of the next chunk, perhaps none; undefined at the (present) end, or at `end`. */
  read(end = Number.MAX_SAFE_INTEGER): LogEntry[] | undefined {
    // A log that was truncated in place starts again from the beginning.
    if (this.size < this.#offset) this.seek(0);
    const chunk = Buffer.allocUnsafe(Math.max(0, Math.min(chunkBytes, end - this.#offset)));
    const count = readSync(this.#fd, chunk, 0, chunk.length, this.#offset);
    if (count === 0) return undefined;
    this.#offset += count;
    return this.#splitter.push(chunk.subarray(0, count));
  }

  /** The entries in the half line at the end, when nobody will finish it. */
  readUnfinished(): LogEntry[] {
    return this.#splitter.end();
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
  const splitter = new RecordSplitter(0);
  const source = createReadStream("", { fd });
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
