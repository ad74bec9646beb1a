/** The parts of a target, read from its own bytes: the manifests of an index, which of them are stored, and their kind. */
import { EngineError } from "@fathom/base";
import {
  imageEntries,
  isIndexType,
  maxManifestBytes,
  parseManifest,
  parseManifestParts,
  type Descriptor,
  type Digest,
  type ManifestParts,
} from "@fathom/spec";
import type { ContentStore, ImageTarget } from "../contract.ts";

/** Reads manifests; undefined for one that is not stored. */
export type ReadManifest = (digest: Digest) => Uint8Array | undefined;

export function manifestsOf(content: ContentStore): ReadManifest {
  return (digest) => (content.info(digest) === undefined ? undefined : content.read(digest, maxManifestBytes));
}

/** A manifest of a target. A manifest that is itself the target has this one entry. */
export interface TargetEntry {
  /** As in the index, with platform and annotations. */
  readonly descriptor: Descriptor;
  /** `other`: neither an image nor an attestation that Docker knows. */
  readonly kind: "image" | "attestation" | "other";
  /** The manifest to which an attestation belongs. */
  readonly subject: string | undefined;
  /** undefined when the manifest is not stored, because its platform was not requested. */
  readonly manifest: (ManifestParts & { readonly raw: Uint8Array }) | undefined;
}

/** An index may contain an index. */
const maxDepth = 4;

/**
 * In the order of the index, one after another: an index may have thousands.
 * @throws not-found when the target itself is not stored, data-loss when it does not match its descriptor, invalid-argument when it is
 * malformed
 */
export function* readTarget(
  read: ReadManifest,
  target: ImageTarget,
  depth = 0,
  seen = new Set<Digest>(),
): Generator<TargetEntry> {
  const raw = read(target.digest);
  if (raw === undefined) throw new EngineError("not-found", `content ${target.digest}: not found`);
  const parsed = parseManifest(raw, target.mediaType);
  if (parsed.kind === "manifest") {
    const { config, layers } = parsed.manifest;
    yield { descriptor: target, kind: "image", subject: undefined, manifest: { raw, config, layers } };
    return;
  }
  const runnable = new Set(imageEntries(parsed.index));
  for (const descriptor of parsed.index.manifests) {
    if (seen.has(descriptor.digest)) continue;
    seen.add(descriptor.digest);
    const below = read(descriptor.digest);
    const isNested = isIndexType(descriptor.mediaType);
    if (isNested && below !== undefined && depth < maxDepth) {
      yield* readTarget(read, descriptor, depth + 1, seen);
      continue;
    }
    const type = descriptor.annotations?.["vnd.docker.reference.type"];
    yield {
      descriptor,
      kind: type === "attestation-manifest" ? "attestation" : runnable.has(descriptor) ? "image" : "other",
      subject: descriptor.annotations?.["vnd.docker.reference.digest"],
      manifest: isNested || below === undefined ? undefined : { raw: below, ...parseManifestParts(below) },
    };
  }
}
