/**
 * The default store: files below one directory. `docs/rfd/012-registry.md` argues why this order of writes survives a loss of power: content is
 * on the disk before the link to it is visible, and a link before the tag that needs it.
 */
import { EngineError, isErrno, KeyedMutex } from "@fathom/base";
import { isDigest, type Digest } from "@fathom/spec";
import { mkdirSync } from "node:fs";
import { open, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { BlobState, FoundBlob, ManifestRow, RegistryStore, TagRow, UploadResult } from "../contract.ts";
import { byBytes, isTag } from "../names/names.ts";
import { DurableFiles } from "./durable-files.ts";
import { storageError } from "./errno.ts";
import { digestsIn, entriesOf, fileState, markedDirectories } from "./file-list.ts";
import { FilePaths } from "./file-paths.ts";
import { FileUploads } from "./file-uploads.ts";
import { readManifestRow, readTagRow } from "./rows.ts";

const readBytes = 512 * 1024;

/** @param root Made when it is absent. The caller sees to it that only one process uses it. */
export async function openFileStore(root: string): Promise<RegistryStore> {
  const paths = new FilePaths(root);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  // What an earlier process did not finish; nobody has seen it.
  await rm(paths.temporary, { recursive: true, force: true });
  for (const path of [paths.temporary, paths.blobs, paths.repositories, paths.uploads])
    mkdirSync(path, { recursive: true, mode: 0o700 });
  return new FileStore(paths);
}

class FileStore implements RegistryStore {
  readonly #paths: FilePaths;
  readonly #files: DurableFiles;
  readonly #uploads: FileUploads;
  readonly #repositories = new KeyedMutex();
  readonly #blobs = new KeyedMutex();

  constructor(paths: FilePaths) {
    this.#paths = paths;
    this.#files = new DurableFiles(paths.temporary);
    this.#uploads = new FileUploads(paths, this.#files);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // No file stays open between two calls.
  }

  exclusively<T>(repository: string, task: () => Promise<T>): Promise<T> {
    return this.#repositories.run(repository, task);
  }

  repositories(): Promise<string[]> {
    return markedDirectories(this.#paths.repositories, ["_links", "_manifests"]);
  }

  async hasRepository(repository: string): Promise<boolean> {
    for (const path of [this.#paths.links(repository), this.#paths.manifests(repository)])
      if ((await fileState(path)) !== undefined) return true;
    return false;
  }

  async findBlob(repository: string, digest: Digest): Promise<BlobState | undefined> {
    const path = this.#paths.link(repository, digest);
    await this.#files.settled(path);
    const link = await fileState(path);
    if (link === undefined) return undefined;
    const blob = await fileState(this.#paths.blob(digest));
    return blob === undefined ? undefined : { bytes: blob.bytes, touchedMs: link.touchedMs };
  }

  async *readBlob(digest: Digest, start: number, end: number): AsyncGenerator<Uint8Array> {
    await using file = await this.#openBlob(digest);
    for (let at = start; at < end;) {
      const buffer = Buffer.allocUnsafe(Math.min(readBytes, end - at));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw new EngineError("data-loss", `the stored blob ${digest} is too short`);
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  }

  async #openBlob(digest: Digest): ReturnType<typeof open> {
    try {
      return await open(this.#paths.blob(digest), "r");
    } catch (error) {
      if (isErrno(error, "ENOENT")) throw new EngineError("not-found", `no blob ${digest} is stored`);
      throw error;
    }
  }

  linkBlob(repository: string, digest: Digest): Promise<boolean> {
    return this.#blobs.run(digest, async () => {
      // The collector's `removeBlob` waits for this task, and then sees the new time.
      if (!(await touch(this.#paths.blob(digest)))) return false;
      await this.#files.settled(this.#paths.blob(digest));
      await this.#link(repository, digest);
      return true;
    });
  }

  async #link(repository: string, digest: Digest): Promise<void> {
    const path = this.#paths.link(repository, digest);
    if (await touch(path)) await this.#files.settled(path);
    else await this.#writing(this.#files.write(path, ""));
  }

  async unlinkBlob(repository: string, digest: Digest, untouchedSinceMs?: number): Promise<boolean> {
    return this.#blobs.run(digest, async () => {
      const path = this.#paths.link(repository, digest);
      if (untouchedSinceMs !== undefined) {
        const link = await fileState(path);
        if (link === undefined || link.touchedMs >= untouchedSinceMs) return false;
      }
      return this.#files.remove(path);
    });
  }

  async blobLinks(repository: string): Promise<{ digest: Digest; touchedMs: number }[]> {
    const found = [];
    for (const digest of await digestsIn(this.#paths.links(repository))) {
      const link = await fileState(this.#paths.link(repository, digest));
      if (link !== undefined) found.push({ digest, touchedMs: link.touchedMs });
    }
    return found;
  }

  async *blobs(): AsyncGenerator<FoundBlob> {
    for (const { name: algorithm } of await entriesOf(this.#paths.blobs))
      for (const { name: prefix } of await entriesOf(join(this.#paths.blobs, algorithm)))
        for (const digest of await digestsWith(this.#paths.blobs, algorithm, prefix)) {
          const state = await fileState(this.#paths.blob(digest));
          if (state !== undefined) yield { digest, ...state };
        }
  }

  removeBlob(digest: Digest, untouchedSinceMs: number): Promise<boolean> {
    return this.#blobs.run(digest, async () => {
      const state = await fileState(this.#paths.blob(digest));
      if (state === undefined || state.touchedMs >= untouchedSinceMs) return false;
      return this.#files.remove(this.#paths.blob(digest));
    });
  }

  beginUpload(repository: string): Promise<string> {
    return this.#uploads.begin(repository);
  }

  uploadOffset(repository: string, id: string): Promise<number | undefined> {
    return this.#uploads.offset(repository, id);
  }

  async writeUpload(repository: string, id: string, data: AsyncIterable<Uint8Array>): Promise<number | undefined> {
    if ((await this.#uploads.offset(repository, id)) === undefined) return undefined;
    return this.#uploads.append(id, data);
  }

  async commitUpload(repository: string, id: string, digest: Digest): Promise<UploadResult> {
    if ((await this.#uploads.offset(repository, id)) === undefined) return { kind: "unknown" };
    const algorithm = digest.startsWith("sha512:") ? "sha512" : "sha256";
    return this.#uploads.finish(id, algorithm, async (hex, bytes) => {
      const matches = `${algorithm}:${hex}` === digest;
      if (matches) await this.#placeBlob(repository, this.#paths.uploadData(id), digest);
      await this.#uploads.remove(id);
      return matches ? { kind: "stored", bytes } : { kind: "different" };
    });
  }

  #placeBlob(repository: string, data: string, digest: Digest): Promise<void> {
    return this.#blobs.run(digest, async () => {
      // The same bytes replace those of another client; the new time protects them from the collector.
      await touch(data);
      await this.#writing(this.#files.place(data, this.#paths.blob(digest)));
      await this.#link(repository, digest);
    });
  }

  async cancelUpload(repository: string, id: string): Promise<boolean> {
    if ((await this.#uploads.offset(repository, id)) === undefined) return false;
    await this.#uploads.remove(id);
    return true;
  }

  removeUploads(untouchedSinceMs: number): Promise<number> {
    return this.#uploads.removeOld(untouchedSinceMs);
  }

  async putManifest(repository: string, row: ManifestRow, raw: Uint8Array, tags: readonly string[]): Promise<void> {
    await this.#blobs.run(row.digest, async () => {
      const path = this.#paths.blob(row.digest);
      if (await touch(path)) await this.#files.settled(path);
      else await this.#writing(this.#files.write(path, raw));
      if (row.subject !== undefined)
        await this.#writing(this.#files.write(this.#paths.referrer(repository, row.subject, row.digest), ""));
      await this.#writing(this.#files.write(this.#paths.manifest(repository, row.digest), JSON.stringify(row)));
    });
    const { digest, pushedAtMs, pushedBy } = row;
    const tagRow = JSON.stringify({ digest, pushedAtMs, pushedBy } satisfies Record<keyof TagRow, unknown>);
    for (const tag of tags) await this.#writing(this.#files.write(this.#paths.tag(repository, tag), tagRow));
  }

  async findManifest(repository: string, digest: Digest): Promise<ManifestRow | undefined> {
    const path = this.#paths.manifest(repository, digest);
    const json = await this.#files.read(path);
    return json === undefined ? undefined : readManifestRow(json, path);
  }

  async manifests(repository: string): Promise<ManifestRow[]> {
    const rows: ManifestRow[] = [];
    for (const digest of await digestsIn(this.#paths.manifests(repository))) {
      const row = await this.findManifest(repository, digest);
      if (row !== undefined) rows.push(row);
    }
    return rows;
  }

  async deleteManifest(repository: string, digest: Digest): Promise<boolean> {
    const row = await this.findManifest(repository, digest);
    if (row === undefined) return false;
    // The tags first: no tag ever points to nothing.
    for (const tag of await this.tags(repository))
      if ((await this.findTag(repository, tag))?.digest === digest) await this.deleteTag(repository, tag);
    await this.#files.remove(this.#paths.manifest(repository, digest));
    if (row.subject !== undefined) await this.#files.remove(this.#paths.referrer(repository, row.subject, digest));
    return true;
  }

  async referrers(repository: string, subject: Digest): Promise<Digest[]> {
    return digestsIn(this.#paths.referrers(repository, subject));
  }

  async tags(repository: string): Promise<string[]> {
    const names = (await entriesOf(this.#paths.tags(repository))).map(({ name }) => name);
    return names.filter(isTag).toSorted(byBytes);
  }

  async findTag(repository: string, tag: string): Promise<TagRow | undefined> {
    const path = this.#paths.tag(repository, tag);
    const json = await this.#files.read(path);
    return json === undefined ? undefined : readTagRow(json, path);
  }

  deleteTag(repository: string, tag: string): Promise<boolean> {
    return this.#files.remove(this.#paths.tag(repository, tag));
  }

  async #writing(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      throw storageError(error);
    }
  }
}

/** Blobs are in directories by the first two digits. */
async function digestsWith(blobs: string, algorithm: string, prefix: string): Promise<Digest[]> {
  const found: Digest[] = [];
  for (const { name } of await entriesOf(join(blobs, algorithm, prefix))) {
    const digest = `${algorithm}:${name}`;
    if (isDigest(digest)) found.push(digest);
  }
  return found;
}

/** False when it is absent. */
async function touch(path: string): Promise<boolean> {
  try {
    const now = new Date();
    await utimes(path, now, now);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}
