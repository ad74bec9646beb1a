/** Bytes by digest: `content/<algorithm>/<hex>`, and a row for each blob that the metadata knows. */
import { closeSync, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import { EngineError, isErrno } from "@fathom/base";
import { parseDigest, sha256Digest, type Digest } from "@fathom/spec";
import { blobPath, createContentWriter, eagerSyncBytes } from "./content-writer.ts";
import type { ContentInfo, ContentStore, Database } from "../contract.ts";
import { storageError } from "../errors.ts";
import type { StoreLeases } from "../leases/leases.ts";
import { numberColumn, textColumn, type Row } from "../database/rows.ts";

/** Distinguishes two files with one name: a rename over a blob gives another inode and change time. */
export function inodeMark(path: string): string | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.ino}:${stat.ctimeNs}`;
}

function contentInfo(row: Row): ContentInfo {
  return { digest: parseDigest(textColumn(row, "digest")), size: numberColumn(row, "size") };
}

/**
 * @param bootId Written into rows whose bytes may not be on disk yet.
 * @param requestSync Asks to make them durable in the background.
 */
export function createContentStore(
  root: string,
  database: Database,
  leases: StoreLeases,
  bootId: string,
  requestSync: () => void,
): ContentStore {
  function info(digest: Digest): ContentInfo | undefined {
    const row = database.get("SELECT digest, size FROM blobs WHERE digest = ?", digest);
    return row === undefined ? undefined : contentInfo(row);
  }

  function path(digest: Digest): string {
    if (info(digest) === undefined) throw new EngineError("not-found", `content ${digest}: not found`);
    return blobPath(root, digest);
  }

  const store: ContentStore = {
    info,
    path,
    read(digest, limitBytes) {
      const file = path(digest);
      let data: Uint8Array;
      let fd: number | undefined;
      try {
        fd = openSync(file, "r");
        const { size } = fstatSync(fd);
        if (size > limitBytes)
          throw new EngineError(
            "resource-exhausted",
            `content ${digest} has ${size} bytes, the limit is ${limitBytes}`,
          );
        data = readFileSync(fd);
      } catch (error) {
        if (isErrno(error, "ENOENT"))
          throw new EngineError("data-loss", `content ${digest}: its file does not exist any more`, { cause: error });
        throw storageError(`read the content ${digest}`, error);
      } finally {
        if (fd !== undefined) closeSync(fd);
      }
      if (digest.startsWith("sha256:") && sha256Digest(data) !== digest)
        throw new EngineError("data-loss", `content ${digest}: its bytes have changed on disk`);
      return data;
    },
    stream(digest, offset = 0) {
      const file = Bun.file(path(digest));
      return offset === 0 ? file.stream() : file.slice(offset).stream();
    },
    writer(expected) {
      return createContentWriter(root, expected);
    },
    record(blob, lease) {
      const mark = inodeMark(blobPath(root, blob.digest));
      if (mark === undefined)
        throw new EngineError("internal", `record of the content ${blob.digest}: it was not committed`);
      database.transaction(() => {
        leases.hold(lease, "blob", blob.digest);
        const boot = blob.size <= eagerSyncBytes ? null : bootId;
        database.run(
          "INSERT INTO blobs (digest, size, inode, boot) VALUES (?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET inode = excluded.inode, boot = excluded.boot",
          blob.digest,
          blob.size,
          mark,
          boot,
        );
        if (boot !== null) requestSync();
      });
    },
    put(data, lease) {
      const digest = sha256Digest(data);
      const known = info(digest);
      // An existing blob only needs to be held: its row cannot be removed while this thread does not yield.
      if (known !== undefined && inodeMark(blobPath(root, digest)) !== undefined) {
        leases.hold(lease, "blob", digest);
        return known;
      }
      const writer = createContentWriter(root, { digest, size: data.length });
      writer.write(data);
      const stored = writer.commit();
      store.record(stored, lease);
      return stored;
    },
    list() {
      return database.all("SELECT digest, size FROM blobs ORDER BY digest").map(contentInfo);
    },
  };
  return store;
}
