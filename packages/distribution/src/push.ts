/**
 * Push in a plain form (distribution-spec, "Pushing blobs"): ask whether the blob exists, open an upload, send the blob whole, close with the
 * digest.
 */
import { EngineError } from "@fathom/base";
import { sha256Digest, type Descriptor, type Digest, type Reference } from "@fathom/spec";
import { shownUrl } from "./errors.ts";
import { targetOf } from "./manifests.ts";
import type { Session } from "./session.ts";

export async function pushBlob(
  session: Session,
  reference: Reference,
  descriptor: Descriptor,
  open: () => ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<"pushed" | "exists"> {
  const { repository } = reference;
  const common = { scope: session.pushScope, signal };
  const head = await session.request({
    ...common,
    method: "HEAD",
    path: `${repository}/blobs/${descriptor.digest}`,
    allowed: [404],
  });
  await head.discard();
  if (head.status === 200) return "exists";
  const start = await session.request({
    ...common,
    method: "POST",
    path: `${repository}/blobs/uploads/`,
    headers: { "content-length": "0" },
  });
  await start.discard();
  const location = start.headers.get("location");
  const upload = location === null ? null : URL.parse(location, start.url.href);
  if (start.status !== 202 || upload === null)
    throw new EngineError(
      "unavailable",
      `${shownUrl(start.url)} did not open an upload: status ${start.status}, ${location === null ? "no location" : "bad location"}`,
    );
  upload.searchParams.set("digest", descriptor.digest);
  const end = await session.request({
    ...common,
    method: "PUT",
    path: upload,
    headers: { "content-type": "application/octet-stream", "content-length": String(descriptor.size) },
    body: open,
  });
  await end.discard();
  if (end.status !== 201)
    throw new EngineError(
      "unavailable",
      `upload of ${descriptor.digest} was answered with status ${end.status}, not 201`,
    );
  return "pushed";
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
