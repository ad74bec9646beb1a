/** One file of a log, read in chunks as records. */
import { closeSync, constants, createReadStream, fstatSync, openSync, readSync } from "node:fs";
import { basename } from "node:path";
import { createGunzip } from "node:zlib";
import { EngineError, isErrno } from "@fathom/base";
import { RecordSplitter, type LogEntry } from "./log-record.ts";

export const chunkBytes = 64 * 1024;

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
