/** The registry client: one session per repository, as contract.ts describes. */
import { EngineError, systemClock, type Clock } from "@fathom/base";
import { canonicalName, type Reference } from "@fathom/spec";
import { streamBlob } from "./blob.ts";
import type { Credentials, RegistryClient, RegistryConfig } from "./contract.ts";
import { digestOf } from "./digests.ts";
import { fetchManifest, headManifest, resolveImage } from "./manifests.ts";
import { environmentProxy } from "./transport/proxy.ts";
import { pushBlob, pushManifest } from "./push.ts";
import { Session } from "./session.ts";
import { listTags } from "./tags.ts";

export interface RegistryClientOptions {
  readonly config: RegistryConfig;
  /** Shared by all registries that this client uses. Make one client for each request of a user. */
  readonly credentials?: Credentials | undefined;
  readonly clock?: Clock;
}

export function createRegistryClient(options: RegistryClientOptions): RegistryClient {
  // Worker threads receive the proxy settings with the other data; they do not read their environment.
  const config: RegistryConfig = { ...options.config, proxy: options.config.proxy ?? environmentProxy() };
  const clock = options.clock ?? systemClock;
  const sessions = new Map<string, Session>();
  const sessionOf = (reference: Reference): Session => {
    const name = canonicalName(reference);
    let session = sessions.get(name);
    if (session === undefined) {
      session = new Session({ reference, config, credentials: options.credentials, clock });
      sessions.set(name, session);
    }
    return session;
  };
  return {
    head: (reference, signal) => headManifest(sessionOf(reference), reference, signal),
    resolve: (reference, platform, signal, onTarget) =>
      resolveImage(sessionOf(reference), reference, platform, signal, onTarget),
    manifest: (reference, signal) =>
      fetchManifest(
        sessionOf(reference),
        reference,
        reference.digest === undefined ? undefined : { digest: reference.digest },
        signal,
      ),
    async fetchBlob(reference, descriptor, limitBytes, signal) {
      if (descriptor.size > limitBytes)
        throw new EngineError(
          "invalid-argument",
          `${descriptor.digest} has ${descriptor.size} bytes, more than the limit of ${limitBytes}`,
        );
      const data = new Uint8Array(descriptor.size);
      let at = 0;
      const stream = streamBlob(sessionOf(reference), reference.repository, descriptor, {
        attempts: config.attempts,
        signal,
        clock,
      });
      for await (const chunk of stream) {
        data.set(chunk, at);
        at += chunk.length;
      }
      const digest = digestOf(data, descriptor.digest);
      if (digest !== descriptor.digest)
        throw new EngineError("data-loss", `${descriptor.digest}: the bytes that came have digest ${digest}`);
      return data;
    },
    blobSource: (reference) => ({
      reference,
      config,
      credentials: options.credentials,
      session: sessionOf(reference).state(),
    }),
    tags: (reference, signal) => listTags(sessionOf(reference), reference, signal),
    pushBlob: (reference, blob, signal) =>
      pushBlob(sessionOf(reference), reference, blob, { attempts: config.attempts, clock }, signal),
    pushManifest: (reference, mediaType, raw, signal) =>
      pushManifest(sessionOf(reference), reference, mediaType, raw, signal),
  };
}
