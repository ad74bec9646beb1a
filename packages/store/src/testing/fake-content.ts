/** Content in memory: the bytes of blobs in a map, and their rows in the database that the other parts read. */
import { EngineError, randomId } from "@fathom/base";
import { parseDigest, sha256Digest, type Digest } from "@fathom/spec";
import type { GarbageFiles } from "../collector/collector.ts";
import type { ContentInfo, ContentStore, ContentWriter, Database, Lease } from "../contract.ts";
import { numberColumn, textColumn } from "../database/rows.ts";
import type { StoreLeases } from "../leases/leases.ts";

interface Blob {
  readonly bytes: Uint8Array;
  /** Distinguishes a blob that was stored again from the earlier one, as an inode does. */
  readonly mark: string;
}

export class FakeContent implements ContentStore {
  readonly #database: Database;
  readonly #leases: StoreLeases;
  readonly #blobs = new Map<Digest, Blob>();

  constructor(database: Database, leases: StoreLeases) {
    this.#database = database;
    this.#leases = leases;
  }

  get files(): Pick<GarbageFiles, "inode"> & { remove(digest: Digest): void } {
    return {
      inode: (digest) => this.#blobs.get(digest)?.mark,
      remove: (digest) => void this.#blobs.delete(digest),
    };
  }

  /** Simulates a failing disk. */
  damage(digest: Digest): void {
    this.#blobs.set(digest, { bytes: new Uint8Array(1), mark: this.#need(digest).mark });
  }

  info(digest: Digest): ContentInfo | undefined {
    const row = this.#database.get("SELECT size FROM blobs WHERE digest = ?", digest);
    return row === undefined ? undefined : { digest, size: numberColumn(row, "size") };
  }

  path(digest: Digest): string {
    this.#need(digest);
    return `/content/${digest.replace(":", "/")}`;
  }

  read(digest: Digest, limitBytes: number): Uint8Array {
    const { bytes } = this.#need(digest);
    if (bytes.length > limitBytes)
      throw new EngineError(
        "resource-exhausted",
        `content ${digest} has ${bytes.length} bytes, the limit is ${limitBytes}`,
      );
    if (sha256Digest(bytes) !== digest)
      throw new EngineError("data-loss", `content ${digest}: its bytes have changed on disk`);
    return Buffer.from(bytes);
  }

  stream(digest: Digest, offset = 0): ReadableStream<Uint8Array> {
    return new Blob([Buffer.from(this.#need(digest).bytes.subarray(offset))]).stream();
  }

  writer({ digest, size }: ContentInfo): ContentWriter {
    const chunks: Uint8Array[] = [];
    let offset = 0;
    let isOpen = true;
    const fail = (problem: string): EngineError => {
      isOpen = false;
      return new EngineError("data-loss", `blob ${digest} ${problem}`);
    };
    const need = (action: string): void => {
      if (!isOpen) throw new EngineError("internal", `${action} of the blob ${digest} after it was closed`);
    };
    const verify = (): void => {
      if (offset !== size) throw fail(`is ${offset} bytes long, expected ${size}`);
      const actual = sha256Digest(Buffer.concat(chunks));
      if (actual !== digest) throw fail(`has the digest ${actual}`);
    };
    return {
      get offset() {
        return offset;
      },
      write: (chunk) => {
        need("write");
        if (offset + chunk.length > size) throw fail(`is longer than its ${size} bytes`);
        chunks.push(chunk.slice());
        offset += chunk.length;
      },
      verify,
      commit: () => {
        need("commit");
        verify();
        isOpen = false;
        this.#blobs.set(digest, { bytes: Buffer.concat(chunks), mark: randomId() });
        return { digest, size };
      },
      abort: () => void (isOpen = false),
    };
  }

  record({ digest, size }: ContentInfo, lease: Lease): void {
    const blob = this.#blobs.get(digest);
    if (blob === undefined) throw new EngineError("internal", `record of the content ${digest}: it was not committed`);
    this.#database.transaction(() => {
      this.#leases.hold(lease, "blob", digest);
      this.#database.run(
        "INSERT INTO blobs (digest, size, inode, boot) VALUES (?, ?, ?, NULL) ON CONFLICT (digest) DO UPDATE SET inode = excluded.inode",
        digest,
        size,
        blob.mark,
      );
    });
  }

  put(data: Uint8Array, lease: Lease): ContentInfo {
    const info = { digest: sha256Digest(data), size: data.length };
    if (!this.#blobs.has(info.digest)) {
      const writer = this.writer(info);
      writer.write(data);
      writer.commit();
    }
    this.record(info, lease);
    return info;
  }

  list(): ContentInfo[] {
    return this.#database
      .all("SELECT digest, size FROM blobs ORDER BY digest")
      .map((row) => ({ digest: parseDigest(textColumn(row, "digest")), size: numberColumn(row, "size") }));
  }

  #need(digest: Digest): Blob {
    const blob = this.#blobs.get(digest);
    if (blob === undefined || this.info(digest) === undefined)
      throw new EngineError("not-found", `content ${digest}: not found`);
    return blob;
  }
}
