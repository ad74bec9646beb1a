/** The images of an OCI layout: those that its index.json names. */
import { EngineError, isEngineError } from "@fathom/base";
import {
  hostPlatform,
  isConfigType,
  isIndexType,
  layerCompression,
  mediaTypes,
  normalizePlatform,
  parseManifest,
  parseManifestParts,
  pickPlatform,
  sha256Digest,
  tryParseReference,
  withDigest,
  type Descriptor,
  type Digest,
  type Platform,
  type Reference,
} from "@fathom/spec";
import { readTarget, type TargetEntry } from "@fathom/store";
import { tagOf, type ArchivedImage, type ArchivedPlatform } from "./archived-image.ts";
import type { Descriptions } from "./descriptions.ts";
import { fileOf, type Files } from "./spool.ts";

/** The place of a name in an OCI layout: its text, and the bytes of the named descriptor. */
interface OciName {
  readonly text: string;
  readonly raw: Uint8Array;
}

/** The name in Docker's form; undefined when it is no name ("latest", "1.0/Linux"), because an OCI layout may call its parts anything. */
function ociNameOf({ text, raw }: OciName): Reference | undefined {
  // A tag alone is no name of an image.
  const reference = /[:/@]/.test(text) ? tryParseReference(text) : undefined;
  if (reference?.digest === undefined) return reference === undefined ? undefined : tagOf(text);
  const digest = sha256Digest(raw);
  if (reference.digest !== digest)
    throw new EngineError(
      "invalid-argument",
      `the archive names an image ${text}, which has another digest: ${digest}; give it a name with a tag`,
    );
  return withDigest(reference, digest);
}

const blobName = (digest: string): string => `blobs/${digest.replace(":", "/")}`;

/**
 * Parts of the layout that are no images (an attestation beside its image) are left out, unless there is nothing else.
 * @param platform Of an index, only this platform; undefined: all complete images of the archive, this machine's first.
 */
export async function ociImages(
  files: Files,
  descriptions: Descriptions,
  platform: Platform | undefined,
): Promise<ArchivedImage[]> {
  if (!files.has("index.json")) return [];
  const index = parseManifest(descriptions.read("index.json").raw, mediaTypes.ociIndex);
  if (index.kind !== "index") return [];
  const found: ArchivedImage[] = [];
  /** An image with many names is listed once for each. */
  const known = new Map<string, Promise<Omit<ArchivedImage, "names"> | EngineError | undefined>>();
  let notImage: EngineError | undefined;
  for (const descriptor of index.index.manifests) {
    await descriptions.image();
    if (isAttestation(descriptor)) continue;
    const { digest, mediaType, annotations } = descriptor;
    const key = `${digest} ${mediaType}`;
    const image = known.get(key) ?? imageOf(files, descriptions, descriptor, platform);
    known.set(key, image);
    const read = await image;
    if (read instanceof EngineError) notImage ??= read;
    if (read === undefined || read instanceof EngineError) continue;
    const text = annotations?.["io.containerd.image.name"] ?? annotations?.["org.opencontainers.image.ref.name"];
    const name = text === undefined ? undefined : ociNameOf({ text, raw: readBlob(descriptions, digest) });
    found.push({ ...read, names: name === undefined ? [] : [name] });
  }
  if (found.length === 0 && notImage !== undefined) throw notImage;
  return found;
}

/** A manifest that describes another one: it is content of that image's index, and no image. */
function isAttestation({ annotations, platform }: Descriptor): boolean {
  return (
    annotations?.["vnd.docker.reference.type"] !== undefined ||
    (platform?.os === "unknown" && platform.architecture === "unknown")
  );
}

function readBlob(descriptions: Descriptions, digest: Digest): Uint8Array {
  const description = descriptions.read(blobName(digest));
  if (description.digest !== digest) throw new EngineError("data-loss", `the archive's ${digest} has another content`);
  return description.raw;
}

/** A pull rejects a wrong size too. @throws data-loss */
function checkSize({ digest, size }: Descriptor, raw: Uint8Array): Uint8Array {
  if (raw.length === size) return raw;
  throw new EngineError(
    "data-loss",
    `the archive's ${digest} has ${raw.length} bytes, not ${size} as the archive says`,
  );
}

/** A manifest of something else than an image: an attestation, a chart. */
function isOtherManifest(raw: Uint8Array): boolean {
  try {
    const { config, layers } = parseManifestParts(raw);
    return !isConfigType(config.mediaType) || layers.some((layer) => layerCompression(layer.mediaType) === undefined);
  } catch {
    return false;
  }
}

/** undefined for an index without an image for the platform; an error for a manifest that is no image. */
async function imageOf(
  files: Files,
  descriptions: Descriptions,
  descriptor: Descriptor,
  platform: Platform | undefined,
): Promise<Omit<ArchivedImage, "names"> | EngineError | undefined> {
  const has = (digest: Digest): boolean => files.has(blobName(digest));
  const raw = checkSize(descriptor, readBlob(descriptions, descriptor.digest));
  let mediaType: string;
  try {
    ({ mediaType } = parseManifest(raw, descriptor.mediaType));
  } catch (error) {
    if (isEngineError(error) && isOtherManifest(raw)) return error;
    throw error;
  }
  const entries: TargetEntry[] = [];
  const read = (digest: Digest): Uint8Array | undefined => (has(digest) ? readBlob(descriptions, digest) : undefined);
  for (const entry of readTarget(read, { ...descriptor, mediaType })) {
    if (entry.descriptor.digest !== descriptor.digest) await descriptions.image();
    if (entry.manifest !== undefined) checkSize(entry.descriptor, entry.manifest.raw);
    entries.push(entry);
  }
  const platformOf = ({ descriptor, manifest }: TargetEntry): ArchivedPlatform => {
    // Read again: for an image, the types of its layers matter.
    const parsed = parseManifest(manifest?.raw ?? readBlob(descriptions, descriptor.digest), descriptor.mediaType);
    if (parsed.kind === "index")
      throw new EngineError("invalid-argument", "the indexes of the archive are nested too deep");
    const { config, layers } = parsed.manifest;
    return {
      config: checkSize(config, readBlob(descriptions, config.digest)),
      layers: layers.map(({ digest }) => fileOf(files, blobName(digest))),
      manifest: manifest?.raw,
    };
  };
  const isWhole = ({ manifest }: TargetEntry): boolean =>
    manifest !== undefined && [manifest.config, ...manifest.layers].every(({ digest }) => has(digest));
  const images = entries.filter(({ kind }) => kind === "image");
  const own = isIndexType(mediaType) ? shownOf(images, isWhole, platform) : images[0];
  if (own === undefined) return undefined;
  const others = platform === undefined ? images.filter((entry) => entry !== own && isWhole(entry)) : [];
  const kept = new Set<string>([own, ...others].map((entry) => entry.descriptor.digest));
  const attestations = entries.filter(
    (entry) => entry.kind === "attestation" && kept.has(entry.subject ?? "") && isWhole(entry),
  );
  return {
    platforms: [platformOf(own), ...others.map(platformOf)],
    target: { raw, mediaType },
    attestations: attestations.flatMap(({ manifest }) =>
      manifest === undefined
        ? []
        : {
            descriptions: [manifest.raw, readBlob(descriptions, manifest.config.digest)],
            layers: manifest.layers.map(({ digest }) => ({ digest, file: fileOf(files, blobName(digest)) })),
          },
    ),
  };
}

/**
 * A manifest outside an index is always meant, whatever its platform. Of an index, the requested platform must be complete. When none is
 * requested, this machine's platform is shown, or else the first complete one.
 */
function shownOf(
  images: readonly TargetEntry[],
  isWhole: (entry: TargetEntry) => boolean,
  platform: Platform | undefined,
): TargetEntry | undefined {
  const pick = (wanted: Platform, from: readonly TargetEntry[]): TargetEntry | undefined => {
    const best = pickPlatform(
      normalizePlatform(wanted),
      from.map((entry) => entry.descriptor),
    );
    return from.find((entry) => entry.descriptor === best);
  };
  if (platform !== undefined) return pick(platform, images);
  const whole = images.filter(isWhole);
  // Without a complete one, the error names what is missing.
  return pick(hostPlatform(), whole) ?? whole[0] ?? pick(hostPlatform(), images) ?? images[0];
}
