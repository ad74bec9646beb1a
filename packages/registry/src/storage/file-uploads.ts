/** The bytes of uploads: files that grow, and the digests that are computed while they arrive. */
import { EngineError } from "@fathom/base";
import { open, rm, type FileHandle } from "node:fs/promises";
import type { FilePaths } from "./file-paths.ts";
import type { DurableFiles } from "./durable-files.ts";
import { makeDirectory } from "./durable-files.ts";
import { fileState, entriesOf } from "./file-list.ts";
import { storageError } from "./errno.ts";
import { readUploadRow } from "./rows.ts";
import { isUploadId } from "../names/names.ts";
import { randomUUID } from "node:crypto";

/** Uploads whose digest so far is kept in memory. That of another one is computed again from its file. */
const keptHashers = 4096;

/** Small pieces are collected up to this size before they are written. */
const writeBytes = 256 * 1024;
/** The kernel takes at most 1024 pieces in one call. */
const writePieces = 512;
const readBytes = 1024 * 1024;

interface Progress {
  readonly hasher: Bun.CryptoHasher;
  readonly offset: number;
}

export class FileUploads {
  readonly #paths: FilePaths;
  readonly #files: DurableFiles;
  readonly #progress = new Map<string, Progress>();
  readonly #busy = new Set<string>();

  constructor(paths: FilePaths, files: DurableFiles) {
    this.#paths = paths;
    this.#files = files;
  }

  async begin(repository: string): Promise<string> {
    const id = randomUUID();
    await makeDirectory(this.#paths.upload(id));
    try {
      await this.#files.write(this.#paths.uploadRow(id), JSON.stringify({ repository }));
    } catch (error) {
      await this.remove(id);
      throw storageError(error);
    }
    return id;
  }

  async offset(repository: string, id: string): Promise<number | undefined> {
    const path = this.#paths.uploadRow(id);
    const row = await this.#files.read(path);
    if (row === undefined || readUploadRow(row, path).repository !== repository) return undefined;
    return (await fileState(this.#paths.uploadData(id)))?.bytes ?? 0;
  }

  /** @throws conflict while another request writes to it */
  async append(id: string, data: AsyncIterable<Uint8Array>): Promise<number> {
    using _ = this.#take(id);
    let progress = await this.#progressOf(id);
    this.#progress.delete(id);
    const file = await open(this.#paths.uploadData(id), "a", 0o600);
    try {
      for await (const pieces of gathered(data)) {
        await writeAll(file, pieces);
        let offset = progress.offset;
        for (const piece of pieces) {
          progress.hasher.update(piece);
          offset += piece.byteLength;
        }
        progress = { hasher: progress.hasher, offset };
      }
    } catch (error) {
      throw storageError(error);
    } finally {
      await file.close();
    }
    this.#keep(id, progress);
    return progress.offset;
  }

  /**
   * Passes the digest of all bytes to `use`; they are on the disk by then, and nobody can append until `use` ends.
   * @throws conflict while another request writes to it
   */
  async finish<T>(
    id: string,
    algorithm: "sha256" | "sha512",
    use: (hex: string, bytes: number) => Promise<T>,
  ): Promise<T> {
    using _ = this.#take(id);
    const { hex, bytes } = await this.#synced(id, algorithm);
    return use(hex, bytes);
  }

  async #synced(id: string, algorithm: "sha256" | "sha512"): Promise<{ hex: string; bytes: number }> {
    const file = await open(this.#paths.uploadData(id), "a+", 0o600);
    try {
      const progress =
        algorithm === "sha256"
          ? await this.#progressOf(id)
          : await this.#computed(file, new Bun.CryptoHasher(algorithm));
      this.#progress.delete(id);
      await file.sync();
      return { hex: progress.hasher.digest("hex"), bytes: progress.offset };
    } catch (error) {
      throw storageError(error);
    } finally {
      await file.close();
    }
  }

  async remove(id: string): Promise<void> {
    this.#progress.delete(id);
    await rm(this.#paths.upload(id), { recursive: true, force: true });
  }

  async removeOld(untouchedSinceMs: number): Promise<number> {
    let removed = 0;
    for (const { name } of await entriesOf(this.#paths.uploads)) {
      if (!isUploadId(name) || this.#busy.has(name)) continue;
      const state = (await fileState(this.#paths.uploadData(name))) ?? (await fileState(this.#paths.upload(name)));
      if (state === undefined || state.touchedMs >= untouchedSinceMs || this.#busy.has(name)) continue;
      await this.remove(name);
      removed++;
    }
    return removed;
  }

  #take(id: string): Disposable {
    if (this.#busy.has(id)) throw new EngineError("conflict", "another request writes to this upload");
    this.#busy.add(id);
    return { [Symbol.dispose]: () => this.#busy.delete(id) };
  }

  #keep(id: string, progress: Progress): void {
    this.#progress.set(id, progress);
    if (this.#progress.size > keptHashers) this.#progress.delete(this.#progress.keys().next().value!);
  }

  /** After a restart, or after a write that failed, the file itself says what has arrived. */
  async #progressOf(id: string): Promise<Progress> {
    const known = this.#progress.get(id);
    const hasher = new Bun.CryptoHasher("sha256");
    const state = await fileState(this.#paths.uploadData(id));
    if (known !== undefined && known.offset === (state?.bytes ?? 0)) return known;
    if (state === undefined) return { hasher, offset: 0 };
    await using file = await open(this.#paths.uploadData(id), "r");
    return await this.#computed(file, hasher);
  }

  async #computed(file: FileHandle, hasher: Bun.CryptoHasher): Promise<Progress> {
    const buffer = Buffer.allocUnsafe(readBytes);
    let offset = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
      if (bytesRead === 0) return { hasher, offset };
      hasher.update(buffer.subarray(0, bytesRead));
      offset += bytesRead;
    }
  }
}

/** Several pieces at once, for few large writes. When the data fails, the pieces before the error come first. */
async function* gathered(data: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array[]> {
  let pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of data) {
      pieces.push(piece);
      size += piece.byteLength;
      if (size < writeBytes && pieces.length < writePieces) continue;
      yield pieces;
      pieces = [];
      size = 0;
    }
  } catch (error) {
    if (pieces.length > 0) yield pieces;
    throw error;
  }
  if (pieces.length > 0) yield pieces;
}

async function writeAll(file: FileHandle, pieces: readonly Uint8Array[]): Promise<void> {
  let rest = pieces;
  while (rest.length > 0) {
    let { bytesWritten } = await file.writev(rest);
    const left: Uint8Array[] = [];
    for (const piece of rest) {
      if (bytesWritten < piece.byteLength) left.push(piece.subarray(bytesWritten));
      bytesWritten = Math.max(0, bytesWritten - piece.byteLength);
    }
    rest = left;
  }
}
