/** The images of an archive: from its manifest.json, or else from its OCI layout. */
import { EngineError } from "@fathom/base";
import { formatPlatform, parseImageConfig, platformMatches, sha256Digest, type Platform, isObject } from "@fathom/spec";
import { platformOf } from "../platform.ts";
import { tagOf, type ArchivedImage } from "./archived-image.ts";
import { Descriptions, json } from "./descriptions.ts";
import { ociImages } from "./oci-layout.ts";
import { fileOf, type Files } from "./spool.ts";

/** @throws not-found when none is for the platform */
export async function imagesOf(files: Files, platform: Platform | undefined): Promise<ArchivedImage[]> {
  const sources = await allImages(files, platform);
  if (platform === undefined) return sources;
  const wanted = sources.filter(({ platforms: [shown] }) =>
    platformMatches(platform, platformOf(parseImageConfig(shown.config))),
  );
  if (wanted.length === 0)
    throw new EngineError("not-found", `the archive has no image for the platform ${formatPlatform(platform)}`);
  return wanted;
}

async function allImages(files: Files, platform: Platform | undefined): Promise<ArchivedImage[]> {
  const descriptions = new Descriptions(files);
  const inLayout = await ociImages(files, descriptions, platform);
  if (!files.has("manifest.json")) {
    if (inLayout.length === 0)
      throw new EngineError("invalid-argument", "invalid archive: does not contain a manifest.json");
    return inLayout;
  }
  // The same image in the OCI part keeps its manifest, and so its digest.
  const manifests = new Map<string, Uint8Array | undefined>();
  for (const { config, manifest } of inLayout.flatMap(({ platforms }) => platforms)) {
    const digest = sha256Digest(config);
    if (!manifests.has(digest)) manifests.set(digest, manifest);
  }
  const entries: unknown = json(descriptions.read("manifest.json").raw);
  if (!Array.isArray(entries)) throw new EngineError("invalid-argument", "manifest.json of the archive is not a list");
  const sources: ArchivedImage[] = [];
  for (const entry of entries) {
    await descriptions.image();
    const { Config, RepoTags, Layers } = isObject(entry) ? entry : {};
    if (typeof Config !== "string" || !Array.isArray(Layers))
      throw new EngineError("invalid-argument", "manifest.json of the archive names no config or layers");
    // dockerd reads null as the empty name, which is no name.
    const tags = strings("RepoTags", Array.isArray(RepoTags) ? RepoTags.map((tag: unknown) => tag ?? "") : RepoTags);
    const config = descriptions.read(Config);
    const layers = strings("Layers", Layers).map((name) => fileOf(files, name));
    sources.push({
      platforms: [{ config: config.raw, layers, manifest: manifests.get(config.digest) }],
      names: tags.map(tagOf),
      target: undefined,
      attestations: [],
    });
  }
  return sources;
}

/** A list in manifest.json; when it is absent or null, an empty one. */
function strings(key: string, value: unknown): string[] {
  const list: unknown = value ?? [];
  if (Array.isArray(list) && list.every((item) => typeof item === "string")) return list;
  const text = JSON.stringify(list);
  throw new EngineError(
    "invalid-argument",
    `manifest.json of the archive has ${key} that are no list of strings: ${text.length > 100 ? `${text.slice(0, 100)}…` : text}`,
  );
}
