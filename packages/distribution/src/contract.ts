/**
 * The registry client: takes references, returns verified bytes. It writes nothing to disk and keeps no state except tokens. Storing is the
 * work of `packages/images/src/pull`.
 *
 * Errors: "not-found" (manifest unknown, repository unknown), "unauthenticated" (401 after a token, denied), "unavailable" (cannot connect, 5xx
 * or 429 after all tries, idle timeout), "data-loss" (size or digest differ), "invalid-argument" (schema 1, unknown media type, manifest over 4
 * MiB). The message names registry, repository and reference.
 * Abort: an aborted call rejects with "aborted" and has closed its connection.
 */
import type { Descriptor, ImageManifest, Platform, Reference, Digest } from "@fathom/spec";

export interface Credentials {
  readonly username?: string;
  readonly password?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

export interface RegistryConfig {
  /** Host[:port] or CIDR: these hosts may use plain HTTP and unverified TLS. Loopback always belongs to them. */
  readonly insecureRegistries: readonly string[];
  /** Base URLs that the client tries before docker.io. */
  readonly mirrors: readonly string[];
  /** Directories searched for <host>/ca.crt, client.cert, client.key: /etc/fathom/certs.d, /etc/docker/certs.d. */
  readonly certificateDirectories: readonly string[];
  /** HTTP_PROXY, HTTPS_PROXY, NO_PROXY; from the environment when absent. */
  readonly proxy?: { readonly http?: string; readonly https?: string; readonly no?: string };
  /** After this many milliseconds without a byte, a transfer fails. */
  readonly idleTimeoutMs: number;
  /** How often one request is tried when its failures may be temporary. */
  readonly attempts: number;
  readonly userAgent: string;
}

export interface ResolvedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes as the registry sent them. */
  readonly raw: Uint8Array;
}

export interface ResolvedImage {
  /** The document that the reference itself names: an index or a manifest. `docker images --digests` shows its digest. */
  readonly target: ResolvedManifest;
  /** The manifest of the chosen platform. It is the same object as `target` when `target` is no index. */
  readonly manifest: ResolvedManifest;
  readonly image: ImageManifest;
  readonly platform: Platform | undefined;
}

/** Plain data (structured clone) that a worker thread needs to open blobs of one repository. */
export interface BlobSource {
  readonly reference: Reference;
  readonly config: RegistryConfig;
  readonly credentials: Credentials | undefined;
  /** The token and base URL that worked last, so that the worker needs no token request of its own. */
  readonly session: unknown;
}

export interface BlobToPush {
  readonly descriptor: Descriptor;
  /** Called for each try. */
  readonly open: () => ReadableStream<Uint8Array>;
  /** A repository of the same registry that probably has the blob: then nothing is sent. */
  readonly mountFrom?: string | undefined;
}

/** `exists`: the repository already had it; `mounted`: the registry took it from `mountFrom`. */
export type PushedBlob = "pushed" | "exists" | "mounted";

export interface RegistryClient {
  /** HEAD of the manifest (GET when the registry rejects HEAD): one request that shows whether the manifest has changed. */
  head(reference: Reference, signal?: AbortSignal): Promise<{ digest: Digest; mediaType: string; size: number }>;
  /**
   * Fetches the manifest; from an index it goes to the manifest of the wanted platform.
   * @param onTarget Called when the document that the reference itself names has come.
   */
  resolve(
    reference: Reference,
    platform: Platform | undefined,
    signal?: AbortSignal,
    onTarget?: () => void,
  ): Promise<ResolvedImage>;
  /** The manifest or index that the reference itself names, verified. */
  manifest(reference: Reference, signal?: AbortSignal): Promise<ResolvedManifest>;
  /** All tags of the repository, in the registry's order. */
  tags(reference: Reference, signal?: AbortSignal): Promise<readonly string[]>;
  /** A small blob (the image config) in memory, verified. */
  fetchBlob(
    reference: Reference,
    descriptor: Descriptor,
    limitBytes: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array>;
  /** The data for openBlob in a worker. */
  blobSource(reference: Reference): BlobSource;
  pushBlob(reference: Reference, blob: BlobToPush, signal?: AbortSignal): Promise<PushedBlob>;
  /** The manifests and blobs in it must be pushed before. */
  pushManifest(reference: Reference, mediaType: string, raw: Uint8Array, signal?: AbortSignal): Promise<Digest>;
}
