/** Docker's requests about images as `@fathom/images` expects them, and its results as Docker's answers. */
import type { Credentials } from "@fathom/distribution";
import { parseRepositoryTag, type Images, type ImagesParts, type RemovedPart } from "@fathom/images";
import { stepsLabel } from "../containers/start-report.ts";
import {
  familiarString,
  hostPlatform,
  parseDigest,
  parsePlatform,
  parseReference,
  refuseAmbiguousName,
  withDigest,
  withTag,
  type ImageDeleteItem,
  type Platform,
  type ProgressMessage,
  type Reference,
} from "@fathom/spec";
import { applyChanges } from "../commit/changes.ts";
import type { ImageBackend, ImageImportRequest, RegistryAuth } from "../backend.ts";
import type { EngineParts, ImagePart } from "../contract.ts";
import { pruneFilter } from "./image-filters.ts";
import { listImages } from "./image-list.ts";
import { inspectImage, shownHistory } from "./image-show.ts";
import { loadLines, pullLines, pushLines } from "./progress-lines.ts";
import { pullError, pushError } from "./registry-words.ts";

/** The parts of the engine that the images need. */
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

export function createImagePart(parts: EngineParts, images: Images): ImagePart {
  return {
    backend: createImageBackend(parts, images),
    lookup: (name, platform) => images.lookup(name, platform),
    byId: (id) => images.byId(id),
    commit: async ({ repository, tag, ...request }, signal) => {
      const reference = repository === undefined ? undefined : parseRepositoryTag(repository, tag);
      const id = await images.commit({ ...request, reference }, signal);
      return { id, name: reference === undefined ? undefined : familiarString(reference) };
    },
    authenticate: async (auth, signal) => {
      await images.login(auth.serveraddress, credentialsOf(auth), signal);
      return { Status: "Login Succeeded" };
    },
    [Symbol.asyncDispose]: () => images[Symbol.asyncDispose](),
  };
}

function createImageBackend(parts: EngineParts, images: Images): ImageBackend {
  return {
    list: (request) => listImages(parts, images, request),
    inspect: async (name, platform) => inspectImage(parts.store, images, name, platform),
    history: async (name, platform) => shownHistory(images.history(name, platform)),
    tag: async (name, repository, tag) => images.tag(name, parseRepositoryTag(repository, tag)),
    remove: async (name, options) => (await images.remove(name, options)).map(deleteItem),
    prune: async (filters) => {
      const { removed, reclaimedBytes } = await images.prune(pruneFilter(parts, images, filters));
      return { ImagesDeleted: removed.length === 0 ? null : removed.map(deleteItem), SpaceReclaimed: reclaimedBytes };
    },
    pull: ({ fromImage, tag, platform, auth }, signal) => {
      const reference = pulledReference(fromImage, tag);
      const credentials = auth === undefined ? undefined : credentialsOf(auth);
      const events = images.pull({ reference, platform: givenPlatform(platform), credentials }, signal);
      return linesOf(events, pullLines, (error) => pullError(error, reference, credentials !== undefined));
    },
    push: ({ name, tag, auth, platform }, signal) =>
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
    load: (body, { platform }, signal) => linesOf(images.load(body, givenPlatform(platform), signal), loadLines),
    save: (names, platform, signal) => images.save(names, givenPlatform(platform), signal),
    import: (request, signal) => importImage(images, request, signal),
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

/** The two parameters of the API: a name that may have its own tag or digest, and a tag that may be a digest. */
function pulledReference(fromImage: string, tag: string | undefined): Reference {
  const reference = parseReference(fromImage);
  refuseAmbiguousName(reference);
  if (tag === undefined || tag === "") return reference;
  return tag.includes(":") ? withDigest(reference, parseDigest(tag)) : withTag(reference, tag);
}

function givenPlatform(text: string | undefined): Platform | undefined {
  return text === undefined || text === "" ? undefined : parsePlatform(text);
}

export function credentialsOf(auth: RegistryAuth): Credentials {
  return {
    ...(auth.username ? { username: auth.username } : {}),
    ...(auth.password ? { password: auth.password } : {}),
    ...(auth.identitytoken ? { identityToken: auth.identitytoken } : {}),
    ...(auth.registrytoken ? { registryToken: auth.registrytoken } : {}),
  };
}
