/** A store in memory, for tests and for a registry whose content ends with it. */
import { EngineError, KeyedMutex } from "@fathom/base";
import type { Digest } from "@fathom/spec";
import { randomUUID } from "node:crypto";
import type { BlobState, FoundBlob, ManifestRow, RegistryStore, TagRow, UploadResult } from "../contract.ts";
import { byBytes } from "../names/names.ts";

interface Blob {
  readonly data: Uint8Array;
  touchedMs: number;
}

interface Repository {
  readonly links: Map<Digest, number>;
  readonly manifests: Map<Digest, ManifestRow>;
  readonly tags: Map<string, TagRow>;
}

interface Upload {
  readonly repository: string;
  readonly pieces: Uint8Array[];
  touchedMs: number;
  busy: boolean;
}

export class MemoryStore implements RegistryStore {
  readonly #blobs = new Map<Digest, Blob>();
  readonly #repositories = new Map<string, Repository>();
  readonly #uploads = new Map<string, Upload>();
  readonly #mutex = new KeyedMutex();

  async [Symbol.asyncDispose](): Promise<void> {
    this.#blobs.clear();
  }

  exclusively<T>(repository: string, task: () => Promise<T>): Promise<T> {
    return this.#mutex.run(repository, task);
  }

  async repositories(): Promise<string[]> {
    return [...this.#repositories.keys()].toSorted(byBytes);
  }

  async hasRepository(repository: string): Promise<boolean> {
    return this.#repositories.has(repository);
  }

  #made(repository: string): Repository {
    const known = this.#repositories.get(repository);
    if (known !== undefined) return known;
    const made: Repository = { links: new Map(), manifests: new Map(), tags: new Map() };
    this.#repositories.set(repository, made);
    return made;
  }

  async findBlob(repository: string, digest: Digest): Promise<BlobState | undefined> {
    const touchedMs = this.#repositories.get(repository)?.links.get(digest);
    const blob = this.#blobs.get(digest);
    return touchedMs === undefined || blob === undefined ? undefined : { bytes: blob.data.byteLength, touchedMs };
  }

  async *readBlob(digest: Digest, start: number, end: number): AsyncGenerator<Uint8Array> {
    const blob = this.#blobs.get(digest);
    if (blob === undefined) throw new EngineError("not-found", `no blob ${digest} is stored`);
    yield blob.data.subarray(start, end);
  }

  async linkBlob(repository: string, digest: Digest): Promise<boolean> {
    const blob = this.#blobs.get(digest);
    if (blob === undefined) return false;
    blob.touchedMs = Date.now();
    this.#made(repository).links.set(digest, blob.touchedMs);
    return true;
  }

  async unlinkBlob(repository: string, digest: Digest, untouchedSinceMs?: number): Promise<boolean> {
    const links = this.#repositories.get(repository)?.links;
    const touchedMs = links?.get(digest);
    if (touchedMs === undefined || (untouchedSinceMs !== undefined && touchedMs >= untouchedSinceMs)) return false;
    return links?.delete(digest) ?? false;
  }

  async blobLinks(repository: string): Promise<{ digest: Digest; touchedMs: number }[]> {
    const links = this.#repositories.get(repository)?.links ?? new Map<Digest, number>();
    return [...links]
      .map(([digest, touchedMs]) => ({ digest, touchedMs }))
      .toSorted((a, b) => byBytes(a.digest, b.digest));
  }

  async *blobs(): AsyncGenerator<FoundBlob> {
    for (const [digest, { data, touchedMs }] of this.#blobs) yield { digest, bytes: data.byteLength, touchedMs };
  }

  async removeBlob(digest: Digest, untouchedSinceMs: number): Promise<boolean> {
    const blob = this.#blobs.get(digest);
    if (blob === undefined || blob.touchedMs >= untouchedSinceMs) return false;
    return this.#blobs.delete(digest);
  }

  async beginUpload(repository: string): Promise<string> {
    const id = randomUUID();
    this.#uploads.set(id, { repository, pieces: [], touchedMs: Date.now(), busy: false });
    return id;
  }

  #upload(repository: string, id: string): Upload | undefined {
    const upload = this.#uploads.get(id);
    return upload?.repository === repository ? upload : undefined;
  }

  async uploadOffset(repository: string, id: string): Promise<number | undefined> {
    const upload = this.#upload(repository, id);
    return upload === undefined ? undefined : sizeOf(upload);
  }

  async writeUpload(repository: string, id: string, data: AsyncIterable<Uint8Array>): Promise<number | undefined> {
    const upload = this.#upload(repository, id);
    if (upload === undefined) return undefined;
    if (upload.busy) throw new EngineError("conflict", "another request writes to this upload");
    upload.busy = true;
    try {
      for await (const piece of data) {
        upload.pieces.push(Uint8Array.from(piece));
        upload.touchedMs = Date.now();
      }
    } finally {
      upload.busy = false;
    }
    return sizeOf(upload);
  }

  async commitUpload(repository: string, id: string, digest: Digest): Promise<UploadResult> {
    const upload = this.#upload(repository, id);
    if (upload === undefined) return { kind: "unknown" };
    if (upload.busy) throw new EngineError("conflict", "another request writes to this upload");
    this.#uploads.delete(id);
    const data = Buffer.concat(upload.pieces);
    const algorithm = digest.startsWith("sha512:") ? "sha512" : "sha256";
    if (`${algorithm}:${new Bun.CryptoHasher(algorithm).update(data).digest("hex")}` !== digest)
      return { kind: "different" };
    this.#blobs.set(digest, { data, touchedMs: Date.now() });
    await this.linkBlob(repository, digest);
    return { kind: "stored", bytes: data.byteLength };
  }

  async cancelUpload(repository: string, id: string): Promise<boolean> {
    return this.#upload(repository, id) !== undefined && this.#uploads.delete(id);
  }

  async removeUploads(untouchedSinceMs: number): Promise<number> {
    let removed = 0;
    for (const [id, { touchedMs, busy }] of this.#uploads)
      if (!busy && touchedMs < untouchedSinceMs && this.#uploads.delete(id)) removed++;
    return removed;
  }

  async putManifest(repository: string, row: ManifestRow, raw: Uint8Array, tags: readonly string[]): Promise<void> {
    this.#blobs.set(row.digest, { data: Uint8Array.from(raw), touchedMs: Date.now() });
    const made = this.#made(repository);
    made.manifests.set(row.digest, row);
    const { digest, pushedAtMs, pushedBy } = row;
    for (const tag of tags) made.tags.set(tag, { digest, pushedAtMs, ...(pushedBy === undefined ? {} : { pushedBy }) });
  }

  async findManifest(repository: string, digest: Digest): Promise<ManifestRow | undefined> {
    return this.#repositories.get(repository)?.manifests.get(digest);
  }

  async manifests(repository: string): Promise<ManifestRow[]> {
    const rows = [...(this.#repositories.get(repository)?.manifests.values() ?? [])];
    return rows.toSorted((a, b) => byBytes(a.digest, b.digest));
  }

  async deleteManifest(repository: string, digest: Digest): Promise<boolean> {
    const known = this.#repositories.get(repository);
    for (const [tag, row] of known?.tags ?? []) if (row.digest === digest) known?.tags.delete(tag);
    return known?.manifests.delete(digest) ?? false;
  }

  async referrers(repository: string, subject: Digest): Promise<Digest[]> {
    return (await this.manifests(repository)).filter((row) => row.subject === subject).map(({ digest }) => digest);
  }

  async tags(repository: string): Promise<string[]> {
    return [...(this.#repositories.get(repository)?.tags.keys() ?? [])].toSorted(byBytes);
  }

  async findTag(repository: string, tag: string): Promise<TagRow | undefined> {
    return this.#repositories.get(repository)?.tags.get(tag);
  }

  async deleteTag(repository: string, tag: string): Promise<boolean> {
    return this.#repositories.get(repository)?.tags.delete(tag) ?? false;
  }
}

function sizeOf({ pieces }: Upload): number {
  return pieces.reduce((size, piece) => size + piece.byteLength, 0);
}
