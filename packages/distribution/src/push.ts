/**
 * Push (distribution-spec, "Pushing blobs"): ask whether the blob exists; else ask the registry to mount it from another repository; else open an
 * upload, send the blob whole, close with the digest.
 */
import { EngineError, type Clock } from "@fathom/base";
import { sha256Digest, type Descriptor, type Digest, type Reference } from "@fathom/spec";
import type { BlobToPush, PushedBlob } from "./contract.ts";
import { RegistryError, shownUrl } from "./errors.ts";
import { targetOf } from "./manifests.ts";
import type { Session } from "./session.ts";
import { isBusyStatus, mayPass, withRetries } from "./transport/retry.ts";
import type { Answer } from "./transport/transport.ts";

export interface PushTries {
  readonly attempts: number;
  readonly clock: Clock;
}

export async function pushBlob(
  session: Session,
  reference: Reference,
  { descriptor, open, mountFrom }: BlobToPush,
  { attempts, clock }: PushTries,
  signal: AbortSignal | undefined,
): Promise<PushedBlob> {
  const { repository } = reference;
  const head = await session.request({
    method: "HEAD",
    path: `${repository}/blobs/${descriptor.digest}`,
    scope: session.pushScope,
    signal,
    allowed: [404],
  });
  await head.discard();
  if (head.status === 200) return "exists";
  const mounted = mountFrom === undefined ? undefined : await mount(session, repository, descriptor, mountFrom, signal);
  if (mounted === "mounted") return mounted;
  let opened = mounted;
  // Of an upload that broke, the registry may have a part already: each try is an upload of its own.
  await withRetries(
    attempts,
    clock,
    signal,
    async () => {
      const upload = opened ?? (await openUpload(session, repository, signal));
      opened = undefined;
      await sendBlob(session, upload, descriptor, open, signal);
    },
    (error) => mayPass(error) || (error instanceof RegistryError && isBusyStatus(error.status)),
  );
  return "pushed";
}

/** Returns an open upload when the registry does not mount it; undefined when it rejects the request, for example because of the scope. */
async function mount(
  session: Session,
  repository: string,
  { digest }: Descriptor,
  from: string,
  signal: AbortSignal | undefined,
): Promise<"mounted" | URL | undefined> {
  const query = new URLSearchParams({ mount: digest, from });
  try {
    const answer = await session.request({
      method: "POST",
      path: `${repository}/blobs/uploads/?${query.toString()}`,
      scope: `${session.pushScope} repository:${from}:pull`,
      headers: { "content-length": "0" },
      signal,
    });
    await answer.discard();
    return answer.status === 201 ? "mounted" : uploadOf(answer);
  } catch (error) {
    if (error instanceof RegistryError) return undefined;
    throw error;
  }
}

async function openUpload(session: Session, repository: string, signal: AbortSignal | undefined): Promise<URL> {
  const start = await session.request({
    method: "POST",
    path: `${repository}/blobs/uploads/`,
    scope: session.pushScope,
    headers: { "content-length": "0" },
    signal,
  });
  await start.discard();
  return uploadOf(start);
}

function uploadOf({ status, headers, url }: Pick<Answer, "status" | "headers" | "url">): URL {
  const location = headers.get("location");
  const upload = location === null ? null : URL.parse(location, url.href);
  if (status === 202 && upload !== null) return upload;
  throw new EngineError(
    "unavailable",
    `${shownUrl(url)} did not open an upload: status ${status}, ${location === null ? "no location" : "bad location"}`,
  );
}

async function sendBlob(
  session: Session,
  upload: URL,
  descriptor: Descriptor,
  open: () => ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  upload.searchParams.set("digest", descriptor.digest);
  const end = await session.request({
    method: "PUT",
    path: upload,
    scope: session.pushScope,
    headers: { "content-type": "application/octet-stream", "content-length": String(descriptor.size) },
    body: open,
    attempts: 1,
    signal,
  });
  await end.discard();
  if (end.status !== 201)
    throw new EngineError(
      "unavailable",
      `upload of ${descriptor.digest} was answered with status ${end.status}, not 201`,
    );
}

/** @returns the digest of the bytes. The digest in the registry's answer must be the same. */
export async function pushManifest(
  session: Session,
  reference: Reference,
  mediaType: string,
  raw: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Digest> {
  const answer = await session.request({
    method: "PUT",
    path: `${reference.repository}/manifests/${targetOf(reference)}`,
    scope: session.pushScope,
    headers: { "content-type": mediaType, "content-length": String(raw.length) },
    body: () => raw,
    signal,
  });
  await answer.discard();
  const digest = sha256Digest(raw);
  const theirs = answer.headers.get("docker-content-digest");
  if (theirs?.startsWith("sha256:") && theirs !== digest)
    throw new EngineError("data-loss", `the registry stored the manifest as ${theirs}, not as ${digest}`);
  return digest;
}
