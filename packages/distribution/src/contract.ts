/**
 * The registry client: references in, verified bytes out. It writes nothing to disk and keeps no state but tokens; who stores
 * what is the business of `packages/images/src/pull`.
 *
 * Errors: "not-found" (manifest unknown, repository unknown), "unauthenticated" (401 after a token, denied), "unavailable" (cannot
 * connect, 5xx or 429 after all tries, idle timeout), "data-loss" (size or digest differ), "invalid-argument" (schema 1, unknown media
 * type, manifest over 4 MiB). The message names registry, repository and reference.
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
  /** Host[:port] or CIDR; plain HTTP and unverified TLS allowed. Loopback is always in. */
  readonly insecureRegistries: readonly string[];
  /** Base URLs tried before docker.io. */
  readonly mirrors: readonly string[];
  /** Directories searched for <host>/ca.crt, client.cert, client.key: /etc/fathom/certs.d, /etc/docker/certs.d. */
  readonly certificateDirectories: readonly string[];
  /** HTTP_PROXY, HTTPS_PROXY, NO_PROXY; taken from the environment when absent. */
  readonly proxy?: { readonly http?: string; readonly https?: string; readonly no?: string };
  /** Milliseconds without a byte before a transfer counts as dead. */
  readonly idleTimeoutMs: number;
  /** Tries of one request on faults that may pass. */
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
  /** What the reference itself names: an index or a manifest. `docker images --digests` shows this digest. */
  readonly target: ResolvedManifest;
  /** The manifest of the chosen platform; the same object as `target` when that is no index. */
  readonly manifest: ResolvedManifest;
  readonly image: ImageManifest;
  readonly platform: Platform | undefined;
}

/** Plain data (structured clone): what a worker thread needs to open blobs of one repository by itself. */
export interface BlobSource {
  readonly reference: Reference;
  readonly config: RegistryConfig;
  readonly credentials: Credentials | undefined;
  /** Token and base URL that worked last, so that no second token request is needed. */
  readonly session: unknown;
}

export interface RegistryClient {
  /** HEAD (GET where HEAD is refused) of the manifest: one request, for "is it still the same". */
  head(reference: Reference, signal?: AbortSignal): Promise<{ digest: Digest; mediaType: string; size: number }>;
  /** Fetches the manifest, goes through an index to the wanted platform. */
  resolve(reference: Reference, platform: Platform | undefined, signal?: AbortSignal): Promise<ResolvedImage>;
  /** The manifest or index that the reference itself names, verified. */
  manifest(reference: Reference, signal?: AbortSignal): Promise<ResolvedManifest>;
  /** All tags of the repository, in the registry's order. */
  tags(reference: Reference, signal?: AbortSignal): Promise<readonly string[]>;
  /** Small blob in memory, verified (the image config). */
  fetchBlob(
    reference: Reference,
    descriptor: Descriptor,
    limitBytes: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array>;
  /** For openBlob in a worker. */
  blobSource(reference: Reference): BlobSource;
  /** Docker schema 2 or OCI push, used by the push issue; plain form here. */
  pushBlob(
    reference: Reference,
    descriptor: Descriptor,
    open: () => ReadableStream<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<"pushed" | "exists">;
  pushManifest(reference: Reference, mediaType: string, raw: Uint8Array, signal?: AbortSignal): Promise<Digest>;
}

/**
 * A blob's bytes in order, resumed by Range after a cut (verified bytes are not asked for twice), never longer than the
 * descriptor says. Digest verification is the consumer's (it hashes anyway); size is checked here.
 */
export type OpenBlob = (source: BlobSource, descriptor: Descriptor, signal: AbortSignal) => AsyncIterable<Uint8Array>;
