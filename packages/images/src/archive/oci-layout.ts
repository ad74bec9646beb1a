/** The images of an OCI layout: what its index.json names. */
import { EngineError } from "@fathom/base";
import {
  hostPlatform,
  normalizePlatform,
  parseManifest,
  pickPlatform,
  sha256Digest,
  tryParseReference,
  withDigest,
  type Descriptor,
  type ParsedManifest,
  type Platform,
  type Reference,
} from "@fathom/spec";
import { tagOf, type ArchivedImage } from "./archived-image.ts";
import type { Descriptions } from "./descriptions.ts";
import { fileOf, type Files } from "./spool.ts";

/** Where an OCI layout gives a name: its text, and the bytes that the named descriptor points to. */
interface OciName {
  readonly text: string;
  readonly raw: Uint8Array;
}

/** The name as one of Docker's; undefined for what is none there ("latest", "1.0/Linux"), since an OCI layout may call its parts anything. */
function ociNameOf({ text, raw }: OciName): Reference | undefined {
  // A bare tag is no name of an image.
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

export async function ociManifests(
  files: Files,
  descriptions: Descriptions,
  platform: Platform | undefined,
): Promise<ArchivedImage[]> {
  if (!files.has("index.json")) return [];
  const index = parseManifest(descriptions.read("index.json").raw, "application/vnd.oci.image.index.v1+json");
  if (index.kind !== "index") return [];
  const blobName = (digest: string): string => `blobs/${digest.replace(":", "/")}`;
  const read = ({ digest }: Descriptor): Uint8Array => {
    const description = descriptions.read(blobName(digest));
    if (description.digest !== digest)
      throw new EngineError("data-loss", `the archive's ${digest} has another content`);
    return description.raw;
  };
  const found: ArchivedImage[] = [];
  /** One image with many names is listed once for each. */
  const known = new Map<string, ParsedManifest>();
  const visit = async (descriptor: Descriptor, depth: number, outer: OciName | undefined): Promise<void> => {
    await descriptions.image();
    const raw = read(descriptor);
    const text =
      descriptor.annotations?.["io.containerd.image.name"] ??
      descriptor.annotations?.["org.opencontainers.image.ref.name"];
    const given = text === undefined ? outer : { text, raw };
    const key = `${descriptor.digest} ${descriptor.mediaType}`;
    const parsed = known.get(key) ?? parseManifest(raw, descriptor.mediaType);
    known.set(key, parsed);
    if (parsed.kind === "index") {
      const own = pickPlatform(normalizePlatform(platform ?? hostPlatform()), parsed.index.manifests);
      if (own !== undefined && depth < 4) await visit(own, depth + 1, given);
      return;
    }
    const { config, layers } = parsed.manifest;
    const name = given === undefined ? undefined : ociNameOf(given);
    found.push({
      config: read(config),
      layers: layers.map((layer) => fileOf(files, blobName(layer.digest))),
      names: name === undefined ? [] : [name],
      manifests: name?.digest === undefined || given === undefined || given.raw === raw ? [raw] : [raw, given.raw],
    });
  };
  for (const descriptor of index.index.manifests) await visit(descriptor, 0, undefined);
  return found;
}
