/** Manifests that clients push: untrusted documents (image-spec manifest.md and image-index.md; Docker's schema 2 has the same form). */
import {
  anything,
  DecodeError,
  decodedDigest,
  decodeDocument,
  exact,
  isConfigType,
  isIndexType,
  isManifestType,
  list,
  maxManifestBytes,
  omittable,
  optional,
  parseJson,
  record,
  text,
  unsigned,
  type Digest,
} from "@fathom/spec";
import { isEngineError } from "@fathom/base";

/** Most blobs and manifests that one manifest may name. */
const maxEntries = 10_000;

export interface Entry {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly urls?: readonly string[];
  readonly platform?: { readonly os?: string; readonly architecture?: string; readonly variant?: string };
}

export interface PushedManifest {
  readonly mediaType: string;
  /** Config and layers of a manifest. */
  readonly blobs: readonly Entry[];
  /** Entries of an index. */
  readonly manifests: readonly Entry[];
  readonly subject?: Digest;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export type ManifestReading =
  | { readonly kind: "manifest"; readonly manifest: PushedManifest }
  | { readonly kind: "invalid"; readonly reason: string };

const entry = exact<Entry>({
  mediaType: text,
  digest: decodedDigest,
  size: unsigned(),
  urls: optional(list(text, 100)),
  platform: optional(
    exact<NonNullable<Entry["platform"]>>({
      os: optional(text),
      architecture: optional(text),
      variant: optional(text),
    }),
  ),
});

interface Document {
  readonly schemaVersion?: unknown;
  readonly mediaType?: string;
  readonly config?: Entry;
  readonly layers?: readonly Entry[];
  readonly manifests?: readonly Entry[];
  readonly fsLayers?: unknown;
  readonly subject?: Entry;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

const document = exact<Document>({
  schemaVersion: omittable(anything),
  mediaType: optional(text),
  config: optional(entry),
  layers: optional(list(entry, maxEntries)),
  manifests: optional(list(entry, maxEntries)),
  fsLayers: omittable(anything),
  subject: optional(entry),
  artifactType: optional(text),
  annotations: optional(record(text)),
});

/** @param contentType Of the request; parameters are ignored. */
export function readManifest(raw: Uint8Array, contentType: string | undefined): ManifestReading {
  let read: Document;
  try {
    read = decodeDocument(document, parseJson(raw, "manifest", maxManifestBytes), "manifest");
  } catch (error) {
    if (error instanceof DecodeError || isEngineError(error, "invalid-argument")) return invalid(error.message);
    throw error;
  }
  const header = contentType?.split(";")[0]!.trim();
  const type = header === undefined || header === "" || header === "application/json" ? read.mediaType : header;
  if (read.schemaVersion !== 2 || read.fsLayers !== undefined)
    return invalid("the manifest's schemaVersion must be 2: this registry does not store manifests of schema 1");
  if (read.mediaType !== undefined && read.mediaType !== type)
    return invalid(`the manifest calls itself ${read.mediaType}, but its Content-Type is ${header}`);
  if (type === undefined) return invalid("the request has no Content-Type, and the manifest has no mediaType");
  const isImage = isManifestType(type);
  if (!isImage && !isIndexType(type)) return invalid(`the media type ${type} is no manifest and no index`);
  // Two clients could otherwise see two images under one digest.
  if (isImage ? read.manifests !== undefined : read.layers !== undefined || read.config !== undefined)
    return invalid("a manifest has config and layers, an index has manifests: this document has both");
  if (isImage && (read.config === undefined || read.layers === undefined))
    return invalid("the manifest needs config and layers");
  if (!isImage && read.manifests === undefined) return invalid("the index needs manifests");
  const { subject, annotations } = read;
  const artifactType = artifactTypeOf(read, isImage);
  return {
    kind: "manifest",
    manifest: {
      mediaType: type,
      blobs: isImage ? [read.config!, ...read.layers!] : [],
      manifests: read.manifests ?? [],
      ...(subject === undefined ? {} : { subject: subject.digest }),
      ...(artifactType === undefined ? {} : { artifactType }),
      ...(annotations === undefined ? {} : { annotations }),
    },
  };
}

/** Listed by the referrers API ("Listing Referrers"): for a manifest without one it is the type of its config. */
function artifactTypeOf({ artifactType, config }: Document, isImage: boolean): string | undefined {
  if (artifactType !== undefined && artifactType !== "") return artifactType;
  return isImage ? config?.mediaType : undefined;
}

/** Its bytes are at the URLs, and the registry need not have them: base layers of Windows and of some vendors. */
export function isForeign({ mediaType, urls = [] }: Entry): boolean {
  const foreign =
    mediaType.startsWith("application/vnd.docker.image.rootfs.foreign.diff.tar") ||
    mediaType.startsWith("application/vnd.oci.image.layer.nondistributable.v1.tar");
  return foreign && urls.length > 0 && urls.every((url) => /^https?:\/\/[^/]/.test(url));
}

/** Images of people, in contrast to other artifacts: the first blob is their config. */
export function isImageConfig(mediaType: string): boolean {
  return isConfigType(mediaType);
}

function invalid(reason: string): ManifestReading {
  return { kind: "invalid", reason };
}
