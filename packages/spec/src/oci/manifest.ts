/**
 * Parsing of image manifests and indexes (OCI image-spec manifest.md and image-index.md; Docker schema 2 has the same form). Digests depend on
 * the raw bytes, so the result of the parser is never written as a manifest again.
 */
import { EngineError } from "@fathom/base";
import { decodeDocument, isObject, optional, unsigned } from "../decode/decoder.ts";
import { anything, exact, list, omittable, orElse, record, text, turned } from "../decode/exact.ts";
import { parseJson } from "../decode/json.ts";
import { decodedDigest } from "../digest.ts";
import {
  isConfigType,
  isIndexType,
  isManifestType,
  isSchema1Type,
  layerCompression,
  mediaTypes,
} from "./media-types.ts";
import type { Descriptor, ImageIndex, ImageManifest, Platform } from "./image.ts";

/** Largest manifest that a registry may send (the limit of the distribution project). */
export const maxManifestBytes = 4 * 1024 * 1024;
/** Most layers of one image: overlayfs accepts 500 lower directories. */
export const maxLayers = 500;
const maxIndexEntries = 10_000;

export type ParsedManifest =
  | { readonly kind: "index"; readonly mediaType: string; readonly index: ImageIndex }
  | { readonly kind: "manifest"; readonly mediaType: string; readonly manifest: ImageManifest };

const texts = list(text, 10_000);

const platform = turned(
  exact<Platform>({
    os: orElse(text, ""),
    architecture: orElse(text, ""),
    variant: optional(text),
    "os.version": optional(text),
    "os.features": optional(texts),
  }),
  ({ variant, ...rest }): Platform => (variant === undefined || variant === "" ? rest : { ...rest, variant }),
);

const descriptor = exact<Descriptor>({
  mediaType: text,
  digest: decodedDigest,
  size: unsigned(),
  urls: optional(texts),
  annotations: optional(record(text)),
  platform: optional(platform),
  artifactType: optional(text),
});

/** The fields that say which kind of document it is. They are read first, and the other fields after them. */
interface Claims {
  readonly schemaVersion?: unknown;
  readonly mediaType?: string;
  readonly manifests?: unknown;
  readonly layers?: unknown;
  readonly config?: unknown;
}

const claims = exact<Claims>({
  schemaVersion: omittable(anything),
  mediaType: optional(text),
  manifests: omittable(anything),
  layers: omittable(anything),
  config: omittable(anything),
});

const index = exact<Pick<ImageIndex, "manifests" | "annotations">>({
  manifests: list(descriptor, maxIndexEntries),
  annotations: optional(record(text)),
});

const manifest = exact<Pick<ImageManifest, "config" | "layers" | "annotations">>({
  config: descriptor,
  layers: list(descriptor, maxLayers),
  annotations: optional(record(text)),
});

function refuseSchema1(): EngineError {
  return new EngineError(
    "invalid-argument",
    "the registry sent a manifest of Docker schema 1, which is not supported: push the image again with a current tool",
  );
}

/**
 * The type that the body claims, else the type in the header. The two may not contradict each other. A body that is both an index and a
 * manifest is rejected, because two readers could see two different images under one digest.
 */
function typeOf(document: Claims, headerType: string | undefined): string {
  const own = document.mediaType;
  const header = headerType?.split(";")[0]!.trim().toLowerCase();
  const known = (type: string | undefined): boolean =>
    type !== undefined && (isIndexType(type) || isManifestType(type) || isSchema1Type(type));
  const hasManifests = document.manifests !== undefined;
  const hasLayers = document.layers !== undefined || document.config !== undefined;
  if (hasManifests && hasLayers)
    throw new EngineError(
      "invalid-argument",
      "the manifest has both manifests and layers: it is rejected as ambiguous",
    );
  if (known(own) && known(header) && own !== header)
    throw new EngineError(
      "invalid-argument",
      `the manifest calls itself ${own}, the registry calls it ${header}: it is rejected as ambiguous`,
    );
  const type = own ?? (known(header) || header?.startsWith("application/vnd.") ? header : undefined);
  if (type !== undefined) return type;
  if (hasManifests) return mediaTypes.ociIndex;
  if (hasLayers) return mediaTypes.ociManifest;
  throw new EngineError("invalid-argument", `unsupported manifest media type ${JSON.stringify(header ?? "")}`);
}

/**
 * @param headerType The Content-Type of the answer, or the media type of the manifest's descriptor.
 * @throws invalid-argument for schema 1, unknown types, and anything malformed. The message names the problem.
 */
export function parseManifest(raw: Uint8Array, headerType: string | undefined): ParsedManifest {
  const document = parseJson(raw, "manifest", maxManifestBytes);
  if (isObject(document) && document["schemaVersion"] === 1) throw refuseSchema1();
  const claimed = decodeDocument(claims, document, "manifest");
  const mediaType = typeOf(claimed, headerType);
  if (isSchema1Type(mediaType)) throw refuseSchema1();
  if (!isIndexType(mediaType) && !isManifestType(mediaType))
    throw new EngineError("invalid-argument", `unsupported manifest media type ${JSON.stringify(mediaType)}`);
  // Tools that write one do not all write it. Docker reads what is absent as nothing to check.
  if (claimed.schemaVersion !== undefined && claimed.schemaVersion !== 2)
    throw new EngineError("invalid-argument", `unsupported manifest schemaVersion ${String(claimed.schemaVersion)}`);
  if (isIndexType(mediaType))
    return {
      kind: "index",
      mediaType,
      index: { schemaVersion: 2, mediaType, ...decodeDocument(index, document, "manifest") },
    };
  const parsed = decodeDocument(manifest, document, "manifest");
  const { config, layers } = parsed;
  if (!isConfigType(config.mediaType))
    throw new EngineError(
      "invalid-argument",
      `unsupported config media type ${JSON.stringify(config.mediaType)}: not a container image`,
    );
  for (const layer of layers)
    if (layerCompression(layer.mediaType) === undefined)
      throw new EngineError(
        "invalid-argument",
        `unsupported layer media type ${JSON.stringify(layer.mediaType)} of ${layer.digest}`,
      );
  return { kind: "manifest", mediaType, manifest: { schemaVersion: 2, mediaType, ...parsed } };
}

/** The parts of any manifest, with any media types: an attestation's layers are no file systems. */
export interface ManifestParts {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** @throws invalid-argument when it is malformed */
export function parseManifestParts(raw: Uint8Array): ManifestParts {
  const { config, layers } = decodeDocument(manifest, parseJson(raw, "manifest", maxManifestBytes), "manifest");
  return { config, layers };
}

/** The entries of an index that have an image that can run. Attestations (BuildKit's provenance and SBOM) and unknown platforms are dropped. */
export function imageEntries(index: ImageIndex): Descriptor[] {
  return index.manifests.filter(
    (entry) =>
      (isManifestType(entry.mediaType) || isIndexType(entry.mediaType)) &&
      entry.annotations?.["vnd.docker.reference.type"] === undefined &&
      !(entry.platform?.os === "unknown" && entry.platform.architecture === "unknown"),
  );
}
