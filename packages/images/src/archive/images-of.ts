/** The images of an archive: from its manifest.json, or else from its OCI layout. */
import { EngineError } from "@fathom/base";
import {
  canonicalString,
  formatPlatform,
  isObject,
  parseImageConfig,
  platformMatches,
  sha256Digest,
  type Digest,
  type Platform,
  type Reference,
} from "@fathom/spec";
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
  const layout = new LayoutImages(inLayout);
  /** Images of the OCI part that have a source already: manifest.json names each platform of an index by itself. */
  const taken = new Map<ArchivedImage["platforms"], NamesOnce>();
  const entries: unknown = json(descriptions.read("manifest.json").raw);
  if (!Array.isArray(entries)) throw new EngineError("invalid-argument", "manifest.json of the archive is not a list");
  const sources: ArchivedImage[] = [];
  for (const entry of entries) {
    await descriptions.image();
    const { Config, RepoTags, Layers } = isObject(entry) ? entry : {};
    if (typeof Config !== "string")
      throw new EngineError("invalid-argument", "manifest.json of the archive names no config");
    // dockerd reads null as the empty name, which is no name.
    const tags = strings("RepoTags", Array.isArray(RepoTags) ? RepoTags.map((tag: unknown) => tag ?? "") : RepoTags);
    const names = tags.map(tagOf);
    const config = descriptions.read(Config);
    const layers = strings("Layers", Layers).map((name) => fileOf(files, name));
    // The same image in the OCI part keeps its manifest, and so its digest, with the other platforms of its index.
    const same = layout.find(config.digest, names) ?? (platform === undefined ? undefined : layout.named(names));
    const before = same === undefined ? undefined : taken.get(same.platforms);
    if (before !== undefined) {
      before.add(names);
      continue;
    }
    const own = new NamesOnce();
    own.add(names);
    if (same !== undefined) taken.set(same.platforms, own);
    const alone: Omit<ArchivedImage, "names"> = {
      platforms: [{ config: config.raw, layers, manifest: undefined }],
      target: undefined,
      attestations: [],
    };
    sources.push({ ...(same ?? alone), names: own.list });
  }
  return sources;
}

/** Names without repetitions. */
class NamesOnce {
  readonly list: Reference[] = [];
  readonly #known = new Set<string>();

  add(names: readonly Reference[]): void {
    for (const name of names) {
      const text = canonicalString(name);
      if (!this.#known.has(text)) this.list.push(name);
      this.#known.add(text);
    }
  }
}

interface LayoutImage {
  readonly image: ArchivedImage;
  readonly configs: ReadonlySet<Digest>;
}

/** The images of the OCI part, by their names and by the configs of their platforms. An archive may have thousands of both. */
class LayoutImages {
  readonly #byConfig = new Map<Digest, LayoutImage>();
  readonly #byName = new Map<string, LayoutImage>();

  constructor(images: readonly ArchivedImage[]) {
    /** An image with many names is listed once for each. */
    const known = new Map<ArchivedImage["platforms"], LayoutImage>();
    for (const image of images) {
      const one = known.get(image.platforms) ?? this.#add(image);
      known.set(image.platforms, one);
      for (const name of image.names.map(canonicalString)) if (!this.#byName.has(name)) this.#byName.set(name, one);
    }
  }

  #add(image: ArchivedImage): LayoutImage {
    const one = { image, configs: new Set(image.platforms.map(({ config }) => sha256Digest(config))) };
    for (const digest of one.configs) if (!this.#byConfig.has(digest)) this.#byConfig.set(digest, one);
    return one;
  }

  /** One with this config: the one that has one of these names, or else the first. */
  find(config: Digest, names: readonly Reference[]): ArchivedImage | undefined {
    const named = names
      .map((name) => this.#byName.get(canonicalString(name)))
      .find((one) => one?.configs.has(config) === true);
    return (named ?? this.#byConfig.get(config))?.image;
  }

  /** manifest.json may name another platform of an index than the requested one: the name is the same. */
  named(names: readonly Reference[]): ArchivedImage | undefined {
    return names.map((name) => this.#byName.get(canonicalString(name))?.image).find((image) => image !== undefined);
  }
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
