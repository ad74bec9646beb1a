/**
 * A pull-through cache: what this registry does not have comes from another one, and stays here. A tag is asked again after a time; when the
 * other registry cannot be reached, the old answer counts.
 */
import { isEngineError, messageOf, type Logger } from "@fathom/base";
import { isDigest, sha256Digest, type Digest } from "@fathom/spec";
import type { ManifestRow, RegistryStore } from "../contract.ts";
import { readManifest } from "../manifests/manifest.ts";
import type { Upstream, UpstreamManifest } from "./upstream.ts";

export interface MirrorOptions {
  readonly store: RegistryStore;
  readonly upstream: Upstream;
  /** How long a tag is not asked again. */
  readonly expiryMs: number;
  readonly logger: Logger;
  readonly now?: () => number;
}

export interface Mirror {
  /** Sees to it that the store has the manifest, if the other registry has it. @throws unavailable when neither has it */
  refresh(repository: string, reference: string, signal: AbortSignal): Promise<void>;
  /** The size of a blob that a stored manifest names; undefined: no manifest names it. */
  sizeOf(repository: string, digest: Digest): Promise<number | undefined>;
  /** The bytes of a blob while they are stored. Iterate to the end, or nothing is stored. */
  fetchBlob(repository: string, digest: Digest, bytes: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export function createMirror({ store, upstream, expiryMs, logger, now = Date.now }: MirrorOptions): Mirror {
  const isFresh = async (repository: string, reference: string): Promise<boolean> => {
    if (isDigest(reference)) return (await store.findManifest(repository, reference)) !== undefined;
    const tag = await store.findTag(repository, reference);
    return tag !== undefined && now() - tag.pushedAtMs < expiryMs;
  };

  const keep = async (repository: string, reference: string, found: UpstreamManifest): Promise<void> => {
    const reading = readManifest(found.raw, found.mediaType);
    if (reading.kind === "invalid") {
      logger.warn("the other registry sent a manifest that cannot be stored", {
        repository,
        reference,
        reason: reading.reason,
      });
      return;
    }
    const { blobs, manifests, mediaType, subject, artifactType } = reading.manifest;
    const digest = isDigest(reference) ? reference : sha256Digest(found.raw);
    const row: ManifestRow = {
      digest,
      mediaType,
      bytes: found.raw.byteLength,
      references: [...new Set([...blobs, ...manifests].map((entry) => entry.digest))],
      ...(subject === undefined ? {} : { subject }),
      ...(artifactType === undefined ? {} : { artifactType }),
      pushedAtMs: now(),
    };
    const tags = isDigest(reference) ? [] : [reference];
    await store.exclusively(repository, () => store.putManifest(repository, row, found.raw, tags));
  };

  return {
    async refresh(repository, reference, signal) {
      if (await isFresh(repository, reference)) return;
      try {
        const found = await upstream.manifest(repository, reference, signal);
        if (found !== undefined) await keep(repository, reference, found);
        else if (!isDigest(reference))
          await store.exclusively(repository, () => store.deleteTag(repository, reference));
      } catch (error) {
        const old = !isDigest(reference) && (await store.findTag(repository, reference)) !== undefined;
        if (!old || !isEngineError(error)) throw error;
        logger.warn("the other registry gave no answer, so an older one counts", {
          repository,
          reference,
          error: messageOf(error),
        });
      }
    },

    async sizeOf(repository, digest) {
      for (const row of await store.manifests(repository)) {
        if (!row.references.includes(digest)) continue;
        const pieces: Uint8Array[] = [];
        for await (const piece of store.readBlob(row.digest, 0, row.bytes)) pieces.push(piece);
        const reading = readManifest(Buffer.concat(pieces), row.mediaType);
        if (reading.kind === "invalid") continue;
        const entry = reading.manifest.blobs.find((blob) => blob.digest === digest);
        if (entry !== undefined) return entry.size;
      }
      return undefined;
    },

    async *fetchBlob(repository, digest, bytes, signal) {
      const id = await store.beginUpload(repository);
      const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
      const writer = writable.getWriter();
      const writing = store.writeUpload(repository, id, readable);
      writing.catch(() => undefined);
      let stored = false;
      try {
        for await (const piece of upstream.blob(repository, digest, bytes, signal)) {
          // A disk that fails ends the transfer too.
          await Promise.race([writer.write(piece), writing]);
          yield piece;
        }
        await writer.close();
        await writing;
        const result = await store.commitUpload(repository, id, digest);
        stored = result.kind === "stored";
        if (!stored) logger.warn("the other registry sent a blob with another digest", { repository, digest });
      } finally {
        if (!stored) {
          await writer.abort(new Error("the transfer ended early")).catch(() => undefined);
          await writing.catch(() => undefined);
          await store.cancelUpload(repository, id);
        }
      }
    },
  };
}
