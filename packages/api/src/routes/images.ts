/** Endpoints of images. */
import type { ImageBackend } from "@fathom/engine";
import { EngineError } from "@fathom/base";
import { formatPlatform, type ProgressMessage, decodePlatform } from "@fathom/spec";
import { adaptImageInspect, adaptImageSummary } from "../adapt/image.ts";
import { decodeRegistryAuth } from "../request/registry-auth.ts";
import { streamBytes, streamLines, type ApiRequest, type Handler } from "../request/request.ts";
import type { Router } from "../request/router.ts";

const json = "application/json";
const formatProgress = (message: ProgressMessage): string => `${JSON.stringify(message)}\r\n`;

async function list(backend: ImageBackend, { query, response, version }: ApiRequest): Promise<void> {
  const images = await backend.list({
    all: query.boolean("all"),
    sharedSize: version >= 42 && query.boolean("shared-size"),
    filters: query.filters(),
  });
  response.json(200, version >= 51 ? images : images.map((image) => adaptImageSummary(image, version)));
}

async function inspect(backend: ImageBackend, { name, query, response, version }: ApiRequest): Promise<void> {
  const manifests = version >= 48 && query.boolean("manifests");
  const platform = version >= 49 ? query.jsonPlatform() : undefined;
  if (manifests && platform !== undefined)
    throw new EngineError("invalid-argument", "conflicting options: manifests and platform options cannot both be set");
  response.json(200, adaptImageInspect(await backend.inspect(name, platform), version));
}

async function history(backend: ImageBackend, { name, query, response, version }: ApiRequest): Promise<void> {
  response.json(200, await backend.history(name, version >= 48 ? query.jsonPlatform() : undefined));
}

async function tag(backend: ImageBackend, { name, query, response }: ApiRequest): Promise<void> {
  const repository = query.get("repo");
  if (repository === undefined) throw new EngineError("invalid-argument", "repository name must not be empty");
  await backend.tag(name, repository, query.get("tag"));
  response.empty(201);
}

async function remove(backend: ImageBackend, { name, query, response }: ApiRequest): Promise<void> {
  if (name.trim() === "") throw new EngineError("invalid-argument", "image name cannot be blank");
  response.json(200, await backend.remove(name, { force: query.boolean("force"), noPrune: query.boolean("noprune") }));
}

async function prune(backend: ImageBackend, { query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.prune(query.filters()));
}

/** Pull, or import when no image is named. */
async function create(backend: ImageBackend, request: ApiRequest): Promise<void> {
  const { exchange, query } = request;
  const fromImage = query.get("fromImage");
  const platform = query.get("platform");
  const messages =
    fromImage === undefined
      ? importMessages(backend, request, platform)
      : backend.pull(
          {
            // `pull -a` of old clients sends the name with a colon and no tag.
            fromImage: fromImage.endsWith(":") ? fromImage.slice(0, -1) : fromImage,
            tag: query.get("tag"),
            platform,
            auth: decodeRegistryAuth(exchange.head.headers.get("x-registry-auth")),
          },
          exchange.signal,
        );
  await streamLines(request, messages, { contentType: json, startAtOnce: false, format: formatProgress });
}

function importMessages(
  backend: ImageBackend,
  request: ApiRequest,
  platform: string | undefined,
): AsyncIterable<ProgressMessage> {
  const { exchange, query } = request;
  const source = query.get("fromSrc");
  if (source !== "-")
    throw new EngineError(
      "not-implemented",
      `importing from ${JSON.stringify(source ?? "")} is not implemented yet by Fathom: send the archive itself ("-")`,
    );
  return backend.import(
    {
      source: exchange.body,
      repository: query.get("repo"),
      tag: query.get("tag"),
      message: query.get("message") ?? `Imported from ${source}`,
      changes: query.all("changes"),
      platform,
    },
    exchange.signal,
  );
}

async function push(backend: ImageBackend, request: ApiRequest): Promise<void> {
  const { exchange, name, query, version } = request;
  const messages = backend.push(
    {
      name,
      tag: query.get("tag"),
      auth: decodeRegistryAuth(exchange.head.headers.get("x-registry-auth")),
      platform: version >= 46 ? platformText(query.get("platform")) : undefined,
    },
    exchange.signal,
  );
  await streamLines(request, messages, { contentType: json, startAtOnce: false, format: formatProgress });
}

/** Newer endpoints receive a platform as JSON; the backend receives every platform as text. */
function platformText(text: string | undefined): string | undefined {
  return text === undefined ? undefined : formatPlatform(decodePlatform(text));
}

/** @throws invalid-argument when a version that supports one platform gets more */
function platformOf({ query, version }: ApiRequest): string | undefined {
  if (version < 48) return undefined;
  const given = query.all("platform").filter((text) => text !== "");
  if (given.length > 1)
    throw version < 52
      ? new EngineError(
          "invalid-argument",
          "multiple platform parameters are not supported in this API version; use API version 1.52 or later",
        )
      : new EngineError("not-implemented", "several platforms at once are not implemented yet by Fathom");
  return platformText(given[0]);
}

async function load(backend: ImageBackend, request: ApiRequest): Promise<void> {
  const { exchange } = request;
  const messages = backend.load(exchange.body, { platform: platformOf(request) }, exchange.signal);
  // As in Docker, errors of the archive come in the stream.
  await streamLines(request, messages, { contentType: json, startAtOnce: true, format: formatProgress });
}

async function save(backend: ImageBackend, request: ApiRequest): Promise<void> {
  const { exchange, name, query } = request;
  const names = name === "" ? query.all("names") : [name];
  if (names.length === 0) throw new EngineError("invalid-argument", "no images specified to save");
  await streamBytes(request, backend.save(names, platformOf(request), exchange.signal), {
    contentType: "application/x-tar",
    startAtOnce: false,
  });
}

export function addImageRoutes(router: Router<Handler>, images: ImageBackend): void {
  router.add("GET", "/images/json", (request) => list(images, request));
  router.add("GET", "/images/get", (request) => save(images, request));
  router.add("GET", "/images/*/get", (request) => save(images, request));
  router.add("GET", "/images/*/json", (request) => inspect(images, request));
  router.add("GET", "/images/*/history", (request) => history(images, request));
  router.add("POST", "/images/create", (request) => create(images, request));
  router.add("POST", "/images/load", (request) => load(images, request));
  router.add("POST", "/images/prune", (request) => prune(images, request));
  router.add("POST", "/images/*/tag", (request) => tag(images, request));
  router.add("POST", "/images/*/push", (request) => push(images, request));
  router.add("DELETE", "/images/*", (request) => remove(images, request));
}
