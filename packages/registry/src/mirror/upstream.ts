/** Another registry, of which this one is a cache. */
import { isEngineError } from "@fathom/base";
import { createRegistryClient, openBlob, type RegistryConfig } from "@fathom/distribution";
import { parseDigest, type Digest } from "@fathom/spec";

export interface UpstreamManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly raw: Uint8Array;
}

export interface Upstream {
  /** undefined: it has none. @throws unavailable when it cannot be reached, and other EngineErrors */
  manifest(repository: string, reference: string, signal: AbortSignal): Promise<UpstreamManifest | undefined>;
  /** Exactly `bytes` bytes in order; their digest is not verified. @throws EngineError */
  blob(repository: string, digest: Digest, bytes: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** @param url "https://registry-1.docker.io"; with http:// the transfers are not encrypted. */
export function openUpstream(url: URL, userAgent: string): Upstream {
  const registry = url.host === "registry-1.docker.io" ? "docker.io" : url.host;
  const config: RegistryConfig = {
    insecureRegistries: url.protocol === "http:" ? [registry] : [],
    mirrors: [],
    certificateDirectories: ["/etc/fathom/certs.d", "/etc/docker/certs.d"],
    idleTimeoutMs: 60_000,
    attempts: 3,
    userAgent,
  };
  // A client keeps tokens of each repository; the number of repositories is up to strangers.
  const clientOf = () => createRegistryClient({ config });
  return {
    async manifest(repository, reference, signal) {
      const digest = reference.includes(":") ? parseDigest(reference) : undefined;
      const tag = digest === undefined ? reference : undefined;
      try {
        return await clientOf().manifest({ registry, repository, tag, digest }, signal);
      } catch (error) {
        if (isEngineError(error, "not-found")) return undefined;
        throw error;
      }
    },
    blob(repository, digest, bytes, signal) {
      const source = clientOf().blobSource({ registry, repository, tag: undefined, digest });
      return openBlob(source, { mediaType: "application/octet-stream", digest, size: bytes }, signal);
    },
  };
}
