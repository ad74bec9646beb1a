/** What is stored here of the target of a name: manifests with their blobs. */
import { Turns } from "@fathom/base";
import {
  isIndexType,
  isManifestType,
  parseManifest,
  parseManifestParts,
  type Descriptor,
  type Digest,
} from "@fathom/spec";
import { manifestsOf, type ImageTarget, type Store } from "@fathom/store";

export interface StoredManifestFile {
  readonly target: ImageTarget;
  readonly raw: Uint8Array;
}

/** All things once. */
export interface StoredTarget {
  /** What is in an index comes before the index; the last one is the target itself. */
  readonly manifests: readonly StoredManifestFile[];
  readonly configs: readonly Descriptor[];
  readonly layers: readonly Descriptor[];
}

/** An index may contain an index. */
const maxDepth = 4;

/**
 * @param missing What to do with an entry of an index that is not stored with all its blobs.
 * @returns undefined when the target is not stored, or with `reject` when a part of it is not
 */
export async function readStored(
  store: Store,
  target: ImageTarget,
  missing: "skip" | "reject",
): Promise<StoredTarget | undefined> {
  const read = manifestsOf(store.content);
  const turns = new Turns();
  const manifests = new Map<Digest, StoredManifestFile>();
  const configs: Descriptor[] = [];
  const layers: Descriptor[] = [];
  const collect = async ({ mediaType, digest, size }: ImageTarget, depth: number): Promise<boolean> => {
    if (manifests.has(digest)) return true;
    const isIndex = isIndexType(mediaType);
    const raw = (isIndex || isManifestType(mediaType)) && depth <= maxDepth ? read(digest) : undefined;
    if (raw === undefined) return false;
    await turns.after(raw.length);
    const parsed = isIndex ? parseManifest(raw, mediaType) : undefined;
    if (parsed?.kind === "index") {
      for (const entry of parsed.index.manifests)
        if (!(await collect(entry, depth + 1)) && missing === "reject") return false;
    } else {
      const parts = parseManifestParts(raw);
      if ([parts.config, ...parts.layers].some((blob) => store.content.info(blob.digest) === undefined)) return false;
      configs.push(parts.config);
      layers.push(...parts.layers);
    }
    manifests.set(digest, { target: { mediaType, digest, size }, raw });
    return true;
  };
  if (!(await collect(target, 0))) return undefined;
  return { manifests: [...manifests.values()], configs: once(configs), layers: once(layers) };
}

function once(blobs: readonly Descriptor[]): Descriptor[] {
  return [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
}
