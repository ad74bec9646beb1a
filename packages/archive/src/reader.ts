/**
 * A tar reader that receives chunks of any size, and passes entries and views of their data to a handler within the same call. No promises, no
 * copies, little garbage: a layer of many small files costs about as much as its headers.
 *
 * It reads v7, ustar, PAX, GNU (long names, base-256 numbers), star's prefix, and sparse files of all four kinds. It rejects, with the offset
 * and the reason, everything that is incomplete or ambiguous.
 */
import type { TarEntry } from "./entry.ts";
import { readEntry, show } from "./entry-header.ts";
import { blockSize, brokenTar, checksumMatches, fields, isZeroBlock, numberField, textField } from "./header.ts";
import { defaultTarLimits, limitError, type TarLimits } from "./limits.ts";
import { parsePax, type PaxValues } from "./pax.ts";
import { checkSparseMap, gnuPieces, SparseMapReader, type SparseMap } from "./sparse.ts";

export interface TarHandler {
  /** A new entry; its data, if it has any, comes next. */
  entry(entry: TarEntry): void;
  /** `chunk` is a view that is valid only during the call. `offset` is its place in the unpacked file. */
  data(chunk: Uint8Array, offset: number): void;
  /** The entry is complete. */
  end(): void;
}

type State = "header" | "data" | "padding" | "meta" | "gnu-sparse" | "sparse-map" | "ended";

export class TarReader {
  readonly #handler: TarHandler;
  readonly #limits: TarLimits;
  #state: State = "header";
  /** Bytes received up to now, for messages. */
  #position = 0;
  #entries = 0;
  #totalBytes = 0;
  readonly #carry = Buffer.alloc(blockSize);
  #carried = 0;
  /** Bytes of data or padding still to come. */
  #remaining = 0;
  #padding = 0;
  // Extended headers
  #meta: Buffer = Buffer.alloc(0);
  #metaType = "";
  #metaFilled = 0;
  #local: PaxValues = {};
  #localBytes = 0;
  #hasLocal = false;
  #global: PaxValues = {};
  #globalBytes = 0;
  // The entry that is being read
  #offset = 0;
  #entry: TarEntry | undefined;
  #map: SparseMap | undefined;
  #piece = 0;
  #mapReader: SparseMapReader | undefined;

  constructor(handler: TarHandler, limits: Partial<TarLimits> = {}) {
    this.#handler = handler;
    this.#limits = { ...defaultTarLimits, ...limits };
  }

  /** Number of header blocks, with extended headers. */
  get entries(): number {
    return this.#entries;
  }

  /**
   * @throws invalid-argument for a broken archive, resource-exhausted over a limit, and errors of the handler. After an error, the reader
   * cannot be used any more.
   */
  push(chunk: Uint8Array): void {
    const data = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = 0;
    while (at < data.length) {
      switch (this.#state) {
        case "header":
        case "gnu-sparse":
        case "sparse-map": {
          let block: Buffer;
          if (this.#carried === 0 && data.length - at >= blockSize) {
            block = data.subarray(at, at + blockSize);
            at += blockSize;
          } else {
            const count = Math.min(blockSize - this.#carried, data.length - at);
            data.copy(this.#carry, this.#carried, at, at + count);
            this.#carried += count;
            at += count;
            if (this.#carried < blockSize) break;
            this.#carried = 0;
            block = this.#carry;
          }
          this.#takeBlock(block, this.#position + at - blockSize);
          break;
        }
        case "data":
          at += this.#takeData(data, at);
          break;
        case "meta": {
          const count = Math.min(this.#remaining, data.length - at);
          data.copy(this.#meta, this.#metaFilled, at, at + count);
          this.#metaFilled += count;
          this.#remaining -= count;
          at += count;
          if (this.#remaining === 0) this.#finishMeta();
          break;
        }
        case "padding": {
          const count = Math.min(this.#padding, data.length - at);
          this.#padding -= count;
          at += count;
          if (this.#padding === 0) this.#state = "header";
          break;
        }
        case "ended":
          at = data.length;
      }
    }
    this.#position += data.length;
  }

  /** After the last byte. @throws invalid-argument "unexpected EOF" when the archive stops in the middle of an entry. */
  finish(): void {
    if (this.#state === "ended") return;
    // An archive without its end marker is complete if no entry is cut. Go's programs also write archives that end with the last file's data,
    // without the padding: the docker CLI, when it adds a Dockerfile to a context.
    const betweenEntries = this.#state === "header" || this.#state === "padding";
    if (betweenEntries && this.#carried === 0 && !this.#hasLocal) return;
    throw brokenTar(`the archive is cut off after ${this.#position} bytes: unexpected EOF`);
  }

  #takeBlock(block: Buffer, position: number): void {
    if (this.#state === "gnu-sparse") {
      if (this.#map!.length > 2 * this.#limits.maxSparseSegments) this.#tooManySegments();
      if (!gnuPieces(block, true, this.#map!)) this.#startEntry();
      return;
    }
    if (this.#state === "sparse-map") {
      this.#remaining -= blockSize;
      if (this.#remaining < 0) throw brokenTar("the map of a sparse file is longer than its data");
      if (this.#mapReader!.push(block)) {
        this.#map = this.#mapReader!.map;
        this.#mapReader = undefined;
        this.#startEntry();
      }
      return;
    }
    if (block[0] === 0 && isZeroBlock(block)) {
      if (this.#hasLocal) throw brokenTar("the archive ends after an extended header");
      this.#state = "ended";
      return;
    }
    if (!checksumMatches(block)) throw brokenTar(`invalid tar header at offset ${position}: its checksum is wrong`);
    if (++this.#entries > this.#limits.maxEntries)
      throw limitError("maxEntries", this.#limits.maxEntries, "too many entries");
    const type = String.fromCharCode(block[fields.type[0]]!);
    if (type === "x" || type === "X" || type === "g" || type === "L" || type === "K") this.#startMeta(block, type);
    else this.#readHeader(block, type);
  }

  #startMeta(block: Buffer, type: string): void {
    const size = numberField(block, fields.size[0], fields.size[1]);
    const before = type === "g" ? this.#globalBytes : this.#localBytes;
    if (size < 0) throw brokenTar("an extended header has a negative size");
    if (before + size > this.#limits.maxPaxBytes)
      throw limitError("maxPaxBytes", this.#limits.maxPaxBytes, `an extended header of ${size} bytes`);
    if (type === "g") this.#globalBytes += size;
    else {
      this.#localBytes += size;
      this.#hasLocal = true;
    }
    if (this.#meta.length < size)
      this.#meta = Buffer.alloc(Math.min(this.#limits.maxPaxBytes, Math.max(4096, 2 * size)));
    this.#metaType = type;
    this.#metaFilled = 0;
    this.#remaining = size;
    this.#padding = -size & (blockSize - 1);
    if (size === 0) this.#finishMeta();
    else this.#state = "meta";
  }

  #finishMeta(): void {
    const data = this.#meta.subarray(0, this.#metaFilled);
    if (this.#metaType === "g") parsePax(data, this.#global, this.#limits.maxSparseSegments);
    else if (this.#metaType === "L" || this.#metaType === "K") {
      const name = textField(data, 0, data.length);
      if (name !== "") this.#local[this.#metaType === "L" ? "path" : "linkPath"] = name;
    } else parsePax(data, this.#local, this.#limits.maxSparseSegments);
    this.#state = this.#padding > 0 ? "padding" : "header";
  }

  #readHeader(block: Buffer, type: string): void {
    const pax: PaxValues = this.#globalBytes === 0 ? this.#local : { ...this.#global, ...this.#local };
    this.#local = {};
    this.#localBytes = 0;
    this.#hasLocal = false;
    const read = readEntry(block, type, pax, this.#limits);
    if (read === undefined) {
      this.#state = "header";
      return;
    }
    const { entry, stored } = read;
    this.#remaining = stored;
    this.#padding = -stored & (blockSize - 1);
    this.#offset = 0;
    this.#piece = 0;
    this.#map = undefined;
    const realSize = this.#sparseStart(block, type, pax);
    this.#entry =
      realSize === undefined ? entry : { ...entry, size: entry.kind === "file" ? realSize : 0, sparse: true };
    this.#totalBytes += Math.max(stored, this.#entry.size);
    if (this.#totalBytes > this.#limits.maxTotalBytes)
      throw limitError("maxTotalBytes", this.#limits.maxTotalBytes, `${show(entry.path)}: too much data`);
    if (this.#state === "header") this.#startEntry();
  }

  /** The size of a sparse file, and the state that reads the rest of its map; undefined for a plain file. */
  #sparseStart(block: Buffer, type: string, pax: PaxValues): number | undefined {
    this.#state = "header";
    if (type === "S") {
      this.#map = [];
      if (gnuPieces(block, false, this.#map)) this.#state = "gnu-sparse";
      return numberField(block, fields.gnuRealSize[0], fields.gnuRealSize[1]);
    }
    const sparse = pax.sparse;
    if (sparse === undefined || (type !== "0" && type !== "\0")) return undefined;
    if (sparse.realSize === undefined) throw brokenTar("a sparse file has no size");
    if (sparse.major === 1) {
      this.#mapReader = new SparseMapReader(this.#limits.maxSparseSegments);
      this.#state = "sparse-map";
    } else if (sparse.major === undefined || sparse.major === 0) {
      if (sparse.pieceCount !== undefined && sparse.pieceCount * 2 !== sparse.map.length)
        throw brokenTar("a sparse map has fewer pieces than it says");
      this.#map = [...sparse.map];
    } else throw brokenTar(`sparse files of version ${sparse.major} are not supported`);
    return sparse.realSize;
  }

  #startEntry(): void {
    const entry = this.#entry!;
    if (this.#map !== undefined) {
      if (this.#map.length > 2 * this.#limits.maxSparseSegments) this.#tooManySegments();
      checkSparseMap(this.#map, entry.size, this.#remaining);
    }
    this.#handler.entry(entry);
    if (this.#remaining === 0) this.#endEntry();
    else this.#state = "data";
  }

  #takeData(data: Buffer, at: number): number {
    let count = Math.min(this.#remaining, data.length - at);
    if (this.#map === undefined) {
      if (this.#entry!.kind === "file") this.#handler.data(data.subarray(at, at + count), this.#offset);
      this.#offset += count;
    } else {
      // #offset counts inside the current piece.
      while (this.#map[this.#piece + 1] === this.#offset) {
        this.#piece += 2;
        this.#offset = 0;
      }
      count = Math.min(count, this.#map[this.#piece + 1]! - this.#offset);
      this.#handler.data(data.subarray(at, at + count), this.#map[this.#piece]! + this.#offset);
      this.#offset += count;
    }
    this.#remaining -= count;
    if (this.#remaining === 0) this.#endEntry();
    return count;
  }

  #endEntry(): void {
    this.#handler.end();
    this.#state = this.#padding > 0 ? "padding" : "header";
  }

  #tooManySegments(): never {
    throw limitError(
      "maxSparseSegments",
      this.#limits.maxSparseSegments,
      `${show(this.#entry!.path)}: too many pieces`,
    );
  }
}
