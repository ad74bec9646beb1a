/**
 * Parsing of image manifests and indexes (OCI image-spec manifest.md and image-index.md; Docker schema 2 has the same shape). The raw
 * bytes are what digests depend on, so they are never written again from what is parsed here.
 */
import { EngineError } from "@fathom/base";
import { parseDigest } from "./digest.ts";
import {
  arrayOf,
  fieldsOf,
  optional,
  parseJson,
  present,
  sizeOf,
  textArrayOf,
  textMapOf,
  textOf,
  type Fields,
} from "./fields.ts";
import {
  isConfigType,
  isIndexType,
  isManifestType,
  isSchema1Type,
  layerCompression,
  mediaTypes,
} from "./media-types.ts";
import type { Descriptor, ImageIndex, ImageManifest, Platform } from "./oci-image.ts";

/** What a registry may send as a manifest (distribution's own limit). */
export const maxManifestBytes = 4 * 1024 * 1024;
/** Layers of one image: overlayfs takes 500 lower directories. */
export const maxLayers = 500;
const maxIndexEntries = 10_000;

export type ParsedManifest =
  | { readonly kind: "index"; readonly mediaType: string; readonly index: ImageIndex }
  | { readonly kind: "manifest"; readonly mediaType: string; readonly manifest: ImageManifest };

function parsePlatformFields(value: unknown, where: string): Platform {
  const fields = fieldsOf(value, where);
  const variant = optional(fields["variant"], `${where}.variant`, textOf);
  return present({
    os: optional(fields["os"], `${where}.os`, textOf) ?? "",
    architecture: optional(fields["architecture"], `${where}.architecture`, textOf) ?? "",
    variant: variant === "" ? undefined : variant,
    "os.version": optional(fields["os.version"], `${where}.os.version`, textOf),
    "os.features": optional(fields["os.features"], `${where}.os.features`, textArrayOf),
  }) as Platform;
}

/** @throws invalid-argument naming the field */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  const fields = fieldsOf(value, where);
  return present({
    mediaType: textOf(fields["mediaType"], `${where}.mediaType`),
    digest: parseDigest(textOf(fields["digest"], `${where}.digest`)),
    size: sizeOf(fields["size"], `${where}.size`),
    urls: optional(fields["urls"], `${where}.urls`, textArrayOf),
    annotations: optional(fields["annotations"], `${where}.annotations`, textMapOf),
    platform: optional(fields["platform"], `${where}.platform`, parsePlatformFields),
    artifactType: optional(fields["artifactType"], `${where}.artifactType`, textOf),
  }) as Descriptor;
}

function refuseSchema1(): EngineError {
  return new EngineError(
    "invalid-argument",
    "the registry sent a manifest of Docker schema 1, which is not supported: push the image again with a current tool",
  );
}

/**
 * The type that the body, then the header claims; they may not contradict each other, and a body that is both an index and a
 * manifest is refused, since two readers could see two different images under one digest.
 */
function typeOf(fields: Fields, headerType: string | undefined): string {
  if (fields["schemaVersion"] === 1) throw refuseSchema1();
  const own = optional(fields["mediaType"], "mediaType", textOf);
  const header = headerType?.split(";")[0]!.trim().toLowerCase();
  const claims = (type: string | undefined): boolean =>
    type !== undefined && (isIndexType(type) || isManifestType(type) || isSchema1Type(type));
  const hasManifests = fields["manifests"] !== undefined;
  const hasLayers = fields["layers"] !== undefined || fields["config"] !== undefined;
  if (hasManifests && hasLayers)
    throw new EngineError("invalid-argument", "the manifest has both manifests and layers: refused as ambiguous");
  if (claims(own) && claims(header) && own !== header)
    throw new EngineError(
      "invalid-argument",
      `the manifest calls itself ${own}, the registry calls it ${header}: refused as ambiguous`,
    );
  const type = own ?? (claims(header) || header?.startsWith("application/vnd.") ? header : undefined);
  if (type !== undefined) return type;
  if (hasManifests) return mediaTypes.ociIndex;
  if (hasLayers) return mediaTypes.ociManifest;
  throw new EngineError("invalid-argument", `unsupported manifest media type ${JSON.stringify(header ?? "")}`);
}

/**
 * @param headerType The Content-Type that it came with, or the media type of its descriptor.
 * @throws invalid-argument for schema 1, unknown types, and anything malformed; the message names it.
 */
export function parseManifest(raw: Uint8Array, headerType: string | undefined): ParsedManifest {
  const fields = fieldsOf(parseJson(raw, "manifest", maxManifestBytes), "manifest");
  const mediaType = typeOf(fields, headerType);
  if (isSchema1Type(mediaType)) throw refuseSchema1();
  if (!isIndexType(mediaType) && !isManifestType(mediaType))
    throw new EngineError("invalid-argument", `unsupported manifest media type ${JSON.stringify(mediaType)}`);
  if (fields["schemaVersion"] !== 2)
    throw new EngineError("invalid-argument", `unsupported manifest schemaVersion ${String(fields["schemaVersion"])}`);
  const annotations = optional(fields["annotations"], "annotations", textMapOf);
  if (isIndexType(mediaType)) {
    const manifests = arrayOf(fields["manifests"], "manifests", maxIndexEntries).map((entry, index) =>
      parseDescriptor(entry, `manifests[${index}]`),
    );
    return {
      kind: "index",
      mediaType,
      index: present({ schemaVersion: 2 as const, mediaType, manifests, annotations }) as ImageIndex,
    };
  }
  const config = parseDescriptor(fields["config"], "config");
  if (!isConfigType(config.mediaType))
    throw new EngineError(
      "invalid-argument",
      `unsupported config media type ${JSON.stringify(config.mediaType)}: not a container image`,
    );
  const layers = arrayOf(fields["layers"], "layers", maxLayers).map((entry, index) =>
    parseDescriptor(entry, `layers[${index}]`),
  );
  for (const layer of layers)
    if (layerCompression(layer.mediaType) === undefined)
      throw new EngineError(
        "invalid-argument",
        `unsupported layer media type ${JSON.stringify(layer.mediaType)} of ${layer.digest}`,
      );
  return {
    kind: "manifest",
    mediaType,
    manifest: present({ schemaVersion: 2 as const, mediaType, config, layers, annotations }) as ImageManifest,
  };
}

/** Entries of an index that hold a runnable image: attestations (BuildKit's provenance and SBOM) and unknown platforms are not. */
export function imageEntries(index: ImageIndex): Descriptor[] {
  return index.manifests.filter(
    (entry) =>
      (isManifestType(entry.mediaType) || isIndexType(entry.mediaType)) &&
      entry.annotations?.["vnd.docker.reference.type"] === undefined &&
      !(entry.platform?.os === "unknown" && entry.platform.architecture === "unknown"),
  );
}
