/**
 * Writes one blob: a temporary file that is hashed while it grows, and renamed to its digest when it is complete. Only touches files, so a
 * worker thread can use it. The row comes later (`ContentStore.record`).
 */
import { closeSync, fdatasyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { EngineError, randomId } from "@fathom/base";
import type { Digest } from "@fathom/spec";
import type { ContentInfo, ContentWriter } from "../contract.ts";
import { storageError } from "../errors.ts";
import { syncDirectory } from "@fathom/sys";

/**
 * Blobs up to this size (manifests, configs) are on disk before `commit` returns. Larger ones (layers) are written to disk in the background;
 * if a power loss comes first, recovery hashes them again (recover.ts).
 */
export const eagerSyncBytes = 4 * 1024 * 1024;

/** The path of a blob below the store's root. */
export function blobPath(root: string, digest: Digest): string {
  const colon = digest.indexOf(":");
  return join(root, "content", digest.slice(0, colon), digest.slice(colon + 1));
}

export function temporaryDirectory(root: string): string {
  return join(root, "content", "tmp");
}

/**
 * @param root The store's root; its `content/tmp` exists.
 * @throws resource-exhausted when no file can be made.
 */
export function createContentWriter(
  root: string,
  expected: { readonly digest: Digest; readonly size: number },
): ContentWriter {
  const { digest, size } = expected;
  const algorithm = digest.startsWith("sha512:") ? "sha512" : "sha256";
  const hasher = new Bun.CryptoHasher(algorithm);
  const path = join(temporaryDirectory(root), randomId());
  let offset = 0;
  let fd: number | undefined;
  let verified = false;
  try {
    fd = openSync(path, "wx", 0o600);
  } catch (error) {
    throw storageError(`make a file for the blob ${digest}`, error);
  }

  function close(): void {
    if (fd === undefined) return;
    closeSync(fd);
    fd = undefined;
  }

  function abort(): void {
    if (fd === undefined) return;
    close();
    rmSync(path, { force: true });
  }

  function verify(): void {
    if (verified) return;
    if (offset !== size) {
      abort();
      throw new EngineError("data-loss", `blob ${digest} is ${offset} bytes long, expected ${size}`);
    }
    const actual = `${algorithm}:${hasher.digest("hex")}`;
    if (actual !== digest) {
      abort();
      throw new EngineError("data-loss", `blob ${digest} has the digest ${actual}`);
    }
    verified = true;
  }

  return {
    get offset() {
      return offset;
    },
    write(chunk) {
      if (fd === undefined) throw new EngineError("internal", `write to the blob ${digest} after it was closed`);
      if (verified) throw new EngineError("internal", `write to the blob ${digest} after it was verified`);
      if (offset + chunk.length > size) {
        const got = offset + chunk.length;
        abort();
        throw new EngineError("data-loss", `blob ${digest} is longer than its ${size} bytes (got at least ${got})`);
      }
      hasher.update(chunk);
      try {
        for (let done = 0; done < chunk.length;) done += writeSync(fd, chunk, done, chunk.length - done);
      } catch (error) {
        abort();
        throw storageError(`write the blob ${digest}`, error);
      }
      offset += chunk.length;
    },
    verify,
    commit() {
      if (fd === undefined) throw new EngineError("internal", `commit of the blob ${digest} after it was closed`);
      verify();
      try {
        place(root, path, fd, { digest, size });
        close();
      } catch (error) {
        abort();
        throw storageError(`store the blob ${digest}`, error);
      }
      return { digest, size } satisfies ContentInfo;
    },
    abort,
  };
}

/** Gives a verified file its name; a small file is made durable. */
function place(root: string, path: string, fd: number, { digest, size }: ContentInfo): void {
  const target = blobPath(root, digest);
  if (size <= eagerSyncBytes) fdatasyncSync(fd);
  if (digest.startsWith("sha512:")) mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  renameSync(path, target);
  if (size <= eagerSyncBytes) syncDirectory(dirname(target));
}

/**
 * Moves a file to the place of its blob. The caller has just computed its digest, and the file must be on the store's file system. For worker
 * threads, like the writer. The row comes later.
 */
export function placeContentFile(root: string, path: string, info: ContentInfo): ContentInfo {
  try {
    const fd = openSync(path, "r");
    try {
      place(root, path, fd, info);
    } finally {
      closeSync(fd);
    }
    return info;
  } catch (error) {
    throw storageError(`store the blob ${info.digest}`, error);
  }
}
