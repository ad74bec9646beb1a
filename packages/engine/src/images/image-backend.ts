/** Docker's requests about images, as `@fathom/images` takes them, and its answers as Docker's. */
import type { Credentials } from "@fathom/distribution";
import { parseRepositoryTag, type Images, type ImagesParts, type RemovedPart } from "@fathom/images";
import { stepsLabel } from "@fathom/containers";
import {
  familiarString,
  hostPlatform,
  parseDigest,
  parsePlatform,
  parseReference,
  refuseAmbiguousName,
  withDigest,
  withTag,
  type Filters,
  type HistoryItem,
  type ImageDeleteItem,
  type ImageInspect,
  type ImageSummary,
  type Platform,
  type ProgressMessage,
  type PruneReport,
  type Reference,
} from "@fathom/spec";
import { applyChanges } from "../commit/changes.ts";
import type { ImageSource } from "../contract.ts";
import type { EngineParts } from "../engine.ts";
import { pruneFilter } from "./image-filters.ts";
import { listImages, type ImageListRequest } from "./image-list.ts";
import { inspectImage, shownHistory } from "./image-show.ts";
import { loadLines, pullLines, pushLines } from "./progress-lines.ts";
import { pullError, pushError } from "./registry-words.ts";

/** As `RegistryAuth` of the API. */
interface Auth {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
  readonly serveraddress?: string;
}

export interface ImageImportRequest {
  readonly source: AsyncIterable<Uint8Array>;
  readonly repository: string | undefined;
  readonly tag: string | undefined;
  readonly message: string | undefined;
  /** Dockerfile instructions for the image's configuration. */
  readonly changes: readonly string[];
  readonly platform: string | undefined;
}

export interface ImageBackend {
  imageList(request: ImageListRequest): Promise<ImageSummary[]>;
  imageInspect(name: string, platform: Platform | undefined): Promise<ImageInspect>;
  imageHistory(name: string, platform: Platform | undefined): Promise<HistoryItem[]>;
  imageTag(name: string, repository: string, tag: string | undefined): Promise<void>;
  imageRemove(name: string, options: { force: boolean; noPrune: boolean }): Promise<ImageDeleteItem[]>;
  imagePrune(filters: Filters): Promise<PruneReport>;
  imagePull(
    request: { fromImage: string; tag: string | undefined; platform: string | undefined; auth: Auth | undefined },
    signal: AbortSignal,
  ): AsyncIterable<ProgressMessage>;
  authenticate(auth: Auth, signal: AbortSignal): Promise<{ Status: string }>;
  imagePush(
    request: { name: string; tag: string | undefined; auth: Auth | undefined; platform: string | undefined },
    signal: AbortSignal,
  ): AsyncIterable<ProgressMessage>;
  imageLoad(
    body: AsyncIterable<Uint8Array>,
    options: { quiet: boolean; platform: string | undefined },
    signal: AbortSignal,
  ): AsyncIterable<ProgressMessage>;
  imageSave(names: readonly string[], platform: string | undefined, signal: AbortSignal): AsyncIterable<Uint8Array>;
  imageImport(request: ImageImportRequest, signal: AbortSignal): AsyncIterable<ProgressMessage>;
}

/** What the images are made from, of the engine's parts. */
export function imageParts(
  { config, store, sys, uses, events, logger, clock }: EngineParts,
  registry: ImagesParts["registry"],
): ImagesParts {
  return {
    config,
    registry,
    store,
    sys,
    uses,
    publish: (action, image, attributes) => events.publish("image", action, image, attributes),
    builtinLabels: { [stepsLabel]: "" },
    logger,
    clock,
  };
}

export function createImageBackend(parts: EngineParts, images: Images): ImageBackend & ImageSource & AsyncDisposable {
  return {
    lookup: (name) => images.lookup(name),
    byId: (id) => images.byId(id),
    commit: async ({ repository, tag, ...request }) => {
      const reference = repository === undefined ? undefined : parseRepositoryTag(repository, tag);
      const id = await images.commit({ ...request, reference });
      return { id, name: reference === undefined ? undefined : familiarString(reference) };
    },
    imageList: async (request) => listImages(parts, images, request),
    imageInspect: async (name, platform) => inspectImage(parts.store, images, name, platform),
    imageHistory: async (name, platform) => shownHistory(images.history(name, platform)),
    imageTag: async (name, repository, tag) => images.tag(name, parseRepositoryTag(repository, tag)),
    imageRemove: async (name, options) => (await images.remove(name, options)).map(deleteItem),
    imagePrune: async (filters) => {
      const { removed, reclaimedBytes } = await images.prune(pruneFilter(parts, images, filters));
      return { ImagesDeleted: removed.length === 0 ? null : removed.map(deleteItem), SpaceReclaimed: reclaimedBytes };
    },
    imagePull: ({ fromImage, tag, platform, auth }, signal) => {
      const reference = pulledReference(fromImage, tag);
      const credentials = auth === undefined ? undefined : credentialsOf(auth);
      const events = images.pull({ reference, platform: givenPlatform(platform), credentials }, signal);
      return linesOf(events, pullLines, (error) => pullError(error, reference));
    },
    authenticate: async (auth, signal) => {
      await images.login(auth.serveraddress, credentialsOf(auth), signal);
      return { Status: "Login Succeeded" };
    },
    imagePush: ({ name, tag, auth, platform }, signal) =>
      linesOf(
        images.push(
          {
            name,
            tag,
            credentials: auth === undefined ? undefined : credentialsOf(auth),
            platform: givenPlatform(platform),
          },
          signal,
        ),
        pushLines,
        pushError,
      ),
    imageLoad: (body, { platform }, signal) => linesOf(images.load(body, givenPlatform(platform), signal), loadLines),
    imageSave: (names, platform, signal) => images.save(names, givenPlatform(platform), signal),
    imageImport: (request, signal) => importImage(images, request, signal),
    [Symbol.asyncDispose]: () => images[Symbol.asyncDispose](),
  };
}

/** @throws invalid-argument for a bad name, change or platform, before the archive is read */
async function* importImage(
  images: Images,
  { source, repository, tag, message, changes, platform }: ImageImportRequest,
  signal: AbortSignal,
): AsyncGenerator<ProgressMessage> {
  const reference = repository ? parseRepositoryTag(repository, tag) : undefined;
  const config = applyChanges({}, changes);
  const wanted = platform ? parsePlatform(platform) : hostPlatform();
  yield { status: await images.import({ source, reference, message, config, platform: wanted }, signal) };
}

async function* linesOf<Event>(
  events: AsyncIterable<Event>,
  lines: (event: Event) => readonly ProgressMessage[],
  words: (error: unknown) => unknown = (error) => error,
): AsyncGenerator<ProgressMessage> {
  try {
    for await (const event of events) yield* lines(event);
  } catch (error) {
    throw words(error);
  }
}

function deleteItem(part: RemovedPart): ImageDeleteItem {
  switch (part.kind) {
    case "name":
      return { Untagged: part.name };
    case "image":
      return { Deleted: part.id };
    case "layer":
      return { Deleted: part.chainId };
  }
}

/** The API's two parameters: a name that may have its own tag or digest, and a tag that may be a digest. */
function pulledReference(fromImage: string, tag: string | undefined): Reference {
  const reference = parseReference(fromImage);
  refuseAmbiguousName(reference);
  if (tag === undefined || tag === "") return reference;
  return tag.includes(":") ? withDigest(reference, parseDigest(tag)) : withTag(reference, tag);
}

function givenPlatform(text: string | undefined): Platform | undefined {
  return text === undefined || text === "" ? undefined : parsePlatform(text);
}

function credentialsOf(auth: Auth): Credentials {
  return {
    ...(auth.username ? { username: auth.username } : {}),
    ...(auth.password ? { password: auth.password } : {}),
    ...(auth.identitytoken ? { identityToken: auth.identitytoken } : {}),
    ...(auth.registrytoken ? { registryToken: auth.registrytoken } : {}),
  };
}
