/**
 * Images in memory: names and ids, without layers. An archive of them is a JSON description. The registry has every name that does not contain
 * "nosuch"; a pull of a name with "broken" fails after its first message.
 */
import { EngineError } from "@fathom/base";
import {
  familiarString,
  hostPlatform,
  parseReference,
  sha256Digest,
  type Filters,
  type HistoryItem,
  type ImageDeleteItem,
  type ImageInspect,
  type ImageSummary,
  type Platform,
  type ProgressMessage,
  type PruneReport,
} from "@fathom/spec";
import type {
  ImageBackend,
  ImageImportRequest,
  ImageListRequest,
  ImagePullRequest,
  ImagePushRequest,
} from "../backend.ts";
import { refuseFilters } from "./fake-volumes.ts";

interface FakeImage {
  readonly id: string;
  readonly size: number;
  readonly names: Set<string>;
}

export class FakeImages implements ImageBackend {
  readonly images = new Map<string, FakeImage>();
  #made = 0;

  async list({ filters }: ImageListRequest): Promise<ImageSummary[]> {
    refuseFilters(filters);
    return [...this.images.values()].map(({ id, names, size }) => ({
      Containers: -1,
      Created: 1_700_000_000,
      Id: id,
      Labels: null,
      ParentId: "",
      RepoDigests: [],
      RepoTags: [...names],
      SharedSize: -1,
      Size: size,
    }));
  }

  async inspect(name: string, platform: Platform | undefined): Promise<ImageInspect> {
    const { id, names, size } = this.#find(name, platform);
    return {
      Id: id,
      RepoTags: [...names],
      RepoDigests: [],
      Config: {},
      Architecture: hostPlatform().architecture,
      Os: "linux",
      Size: size,
      RootFS: {},
      Metadata: {},
    };
  }

  async history(name: string, platform: Platform | undefined): Promise<HistoryItem[]> {
    const { id, names, size } = this.#find(name, platform);
    return [{ Comment: "", Created: 1_700_000_000, CreatedBy: "", Id: id, Size: size, Tags: [...names] }];
  }

  async tag(name: string, repository: string, tag: string | undefined): Promise<void> {
    this.#name(this.#find(name), fullName(tag === undefined ? repository : `${repository}:${tag}`));
  }

  async remove(name: string): Promise<ImageDeleteItem[]> {
    const image = this.#find(name);
    const gone = image.names.has(fullName(name)) ? [fullName(name)] : [...image.names];
    for (const one of gone) image.names.delete(one);
    const untagged = gone.map((Untagged) => ({ Untagged }));
    if (image.names.size > 0) return untagged;
    this.images.delete(image.id);
    return [...untagged, { Deleted: image.id }];
  }

  async prune(filters: Filters): Promise<PruneReport> {
    refuseFilters(filters);
    const unnamed = [...this.images.values()].filter(({ names }) => names.size === 0);
    for (const { id } of unnamed) this.images.delete(id);
    return {
      ImagesDeleted: unnamed.length === 0 ? null : unnamed.map(({ id }) => ({ Deleted: id })),
      SpaceReclaimed: unnamed.reduce((sum, { size }) => sum + size, 0),
    };
  }

  async *pull({ fromImage, tag }: ImagePullRequest, signal: AbortSignal): AsyncGenerator<ProgressMessage> {
    signal.throwIfAborted();
    const name = fullName(tag === undefined ? fromImage : `${fromImage}:${tag}`);
    if (name.includes("nosuch"))
      throw new EngineError("not-found", `manifest for ${name} not found: manifest unknown: manifest unknown`);
    yield { status: `Pulling from ${fromImage}`, id: "latest" };
    if (name.includes("broken")) throw new EngineError("data-loss", "layer does not verify");
    this.#name(this.add(`pulled ${name}`), name);
    yield { status: `Status: Downloaded newer image for ${name}` };
  }

  async *push({ name, tag }: ImagePushRequest, signal: AbortSignal): AsyncGenerator<ProgressMessage> {
    signal.throwIfAborted();
    this.#find(tag === undefined ? name : `${name}:${tag}`);
    yield { status: `The push refers to repository [${name}]` };
  }

  async *load(
    body: AsyncIterable<Uint8Array>,
    _options: { platform: string | undefined },
    signal: AbortSignal,
  ): AsyncGenerator<ProgressMessage> {
    const text = Buffer.concat(await Array.fromAsync(body)).toString();
    signal.throwIfAborted();
    if (!text.startsWith("[")) throw new EngineError("invalid-argument", "this is no archive of the fake");
    for (const { content, names } of JSON.parse(text) as { content: string; names: string[] }[]) {
      const image = this.add(content);
      for (const name of names) this.#name(image, name);
      yield { stream: `Loaded image: ${names[0] ?? image.id}\n` };
    }
  }

  async *save(
    names: readonly string[],
    _platform: string | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    signal.throwIfAborted();
    const images = names.map((name) => ({ content: this.#contents.get(this.#find(name).id), names: [fullName(name)] }));
    yield Buffer.from(JSON.stringify(images));
  }

  async *import({ source, repository, tag }: ImageImportRequest, signal: AbortSignal): AsyncGenerator<ProgressMessage> {
    const name = repository === undefined ? undefined : fullName(tag ? `${repository}:${tag}` : repository);
    const bytes = Buffer.concat(await Array.fromAsync(source));
    signal.throwIfAborted();
    const image = this.add(`import ${++this.#made} ${bytes.length}`);
    if (name !== undefined) this.#name(image, name);
    yield { status: image.id };
  }

  readonly #contents = new Map<string, string>();

  /** An image without a name; its id is the digest of its content. */
  add(content: string): FakeImage {
    const id: string = sha256Digest(content);
    const image = this.images.get(id) ?? { id, size: content.length, names: new Set() };
    this.images.set(id, image);
    this.#contents.set(id, content);
    return image;
  }

  #name(image: FakeImage, name: string): void {
    for (const { names } of this.images.values()) names.delete(name);
    image.names.add(name);
  }

  #find(name: string, platform?: Platform): FakeImage {
    const full = fullName(name);
    for (const image of this.images.values())
      if (
        (image.names.has(full) ||
          (name.length >= 4 && image.id.replace("sha256:", "").startsWith(name)) ||
          image.id === name) &&
        (platform === undefined || platform.architecture === hostPlatform().architecture)
      )
        return image;
    throw new EngineError("not-found", `No such image: ${full}`);
  }
}

/** @throws invalid-argument for what is no name */
function fullName(name: string): string {
  const text = familiarString(parseReference(name));
  return /[:@][^/]*$/.test(text) ? text : `${text}:latest`;
}
