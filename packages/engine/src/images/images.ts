/** The image half of the engine: what is stored, how it is named, how it comes from a registry. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { formatRfc3339Nano } from "@fathom/base";
import { login, type Credentials, type RegistryConfig } from "@fathom/distribution";
import {
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
import type { ImageSource } from "../contract.ts";
import type { EngineParts } from "../engine.ts";
import { LayerPulls } from "../pull/layer-pulls.ts";
import { LayerWorkers } from "../pull/layer-workers.ts";
import { Puller } from "../pull/puller.ts";
import { makeBuiltinFor } from "./builtin.ts";
import { pruneImages, removeImage, tagImage } from "./image-change.ts";
import { commitLayer } from "./image-commit.ts";
import { findImage, localImage, type ImageContext } from "./image-context.ts";
import { loadImages } from "./image-load.ts";
import { pushImage } from "./image-push.ts";
import { saveImages } from "./image-save.ts";
import { listImages, type ImageListRequest } from "./image-list.ts";
import { importImage, type ImportRequest } from "./image-import.ts";
import { imageHistory, inspectImage } from "./image-show.ts";

/** As `RegistryAuth` of the API. */
interface Auth {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
  readonly serveraddress?: string;
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
  imageImport(request: ImportRequest, signal: AbortSignal): AsyncIterable<ProgressMessage>;
}

export type Images = ImageBackend & ImageSource & AsyncDisposable;

/** Threads that unpack; more than cores gain nothing. */
const unpackThreads = Math.max(2, Math.min(4, navigator.hardwareConcurrency));

export function createImages(parts: EngineParts, registry: RegistryConfig): Images {
  const { store, events, clock, logger, config } = parts;
  store.database.migrate("engine-images", [
    {
      version: 1,
      up: ["CREATE TABLE image_tag_times (name TEXT PRIMARY KEY, time TEXT NOT NULL) STRICT, WITHOUT ROWID"],
    },
  ]);
  // What an earlier process had under way is over: its leases and half-received files are nobody's.
  for (const lease of store.leases.list()) store.leases.release(lease);
  const temporary = join(config.dataRoot, "tmp");
  rmSync(temporary, { recursive: true, force: true });
  const workers = new LayerWorkers({ count: unpackThreads, logger });
  const context: ImageContext = {
    ...parts,
    runLayer: (job, signal) => workers.run("layer", job, signal),
    runDiff: (job, signal) => workers.run("diff", job, signal),
    runBlob: (job, signal) => workers.run("blob", job, signal),
    workDirectory: () => {
      mkdirSync(temporary, { recursive: true, mode: 0o700 });
      const path = mkdtempSync(join(temporary, "work-"));
      return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
    },
    tagTime: (name) => {
      const time = store.database.get("SELECT time FROM image_tag_times WHERE name = ?", name)?.["time"];
      return typeof time === "string" ? time : undefined;
    },
    setTagTime: (name) =>
      void store.database.run(
        "INSERT INTO image_tag_times (name, time) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET time = excluded.time",
        name,
        formatRfc3339Nano(clock.nowNs()),
      ),
  };
  const layers = new LayerPulls({
    store,
    maxParallel: config.maxConcurrentDownloads,
    run: (job, report, signal) => workers.run("layer", job, signal, report),
  });
  const puller = new Puller({ store, registry, layers, events, clock, logger, onTag: context.setTagTime });

  return {
    lookup: (name) => {
      makeBuiltinFor(context, name);
      return localImage(context, findImage(context, name));
    },
    byId: (id) => {
      const record = store.images.get(id);
      return record === undefined ? undefined : localImage(context, record);
    },
    commit: (request) => commitLayer(context, request),
    imageList: async (request) => listImages(context, request),
    imageInspect: async (name, platform) => inspectImage(context, name, platform),
    imageHistory: async (name, platform) => imageHistory(context, name, platform),
    imageTag: async (name, repository, tag) => tagImage(context, name, repository, tag),
    imageRemove: (name, options) => removeImage(context, name, options),
    imagePrune: (filters) => pruneImages(context, filters),
    imagePull: (request, signal) =>
      puller.pull(
        {
          reference: pulledReference(request.fromImage, request.tag),
          platform: givenPlatform(request.platform),
          credentials: request.auth === undefined ? undefined : credentialsOf(request.auth),
        },
        signal,
      ),
    authenticate: async (auth, signal) => {
      await login(auth.serveraddress, credentialsOf(auth), { config: registry, clock, signal });
      return { Status: "Login Succeeded" };
    },
    imagePush: ({ name, tag, auth, platform }, signal) =>
      pushImage(
        context,
        registry,
        {
          name,
          tag,
          credentials: auth === undefined ? undefined : credentialsOf(auth),
          platform: givenPlatform(platform),
        },
        signal,
      ),
    imageLoad: (body, { platform }, signal) => loadImages(context, body, givenPlatform(platform), signal),
    imageSave: (names, platform, signal) => saveImages(context, names, givenPlatform(platform), signal),
    imageImport: (request, signal) => importImage(context, request, signal),
    [Symbol.asyncDispose]: () => workers[Symbol.asyncDispose](),
  };
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
