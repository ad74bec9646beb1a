/** Blobs: pull (end-2) and delete (end-10). */
import type { Digest } from "@fathom/spec";
import { answeredByEtag, digestOf, type Call, type Done } from "../server/call.ts";
import { send } from "../server/sent.ts";
import { Refusal } from "../server/refusal.ts";
import { readRange } from "./range.ts";

/** A client that has seen a blob may push a manifest with it soon; a newer touch than this is not written again. */
const touchAgainMs = 60_000;

export async function getBlob(call: Call, repository: string, reference: string): Promise<void> {
  const { store, exchange, response, now } = call;
  const digest = digestOf(reference);
  const blob = await store.findBlob(repository, digest);
  if (blob === undefined) return fetchBlob(call, repository, digest);
  const headOnly = exchange.head.method === "HEAD";
  if (headOnly && blob.touchedMs < now() - touchAgainMs) await store.linkBlob(repository, digest);
  response.header("Docker-Content-Digest", digest);
  response.header("Accept-Ranges", "bytes");
  response.header("Cache-Control", "max-age=31536000");
  if (answeredByEtag(call, digest)) return;
  const range = readRange(exchange.head.headers.get("range"), blob.bytes);
  if (range === "unsatisfiable") {
    response.header("Content-Range", `bytes */${blob.bytes}`);
    throw new Refusal("SIZE_INVALID", `the blob has ${blob.bytes} bytes, and the range is outside of it`, {
      status: 416,
    });
  }
  const { start, end } = range ?? { start: 0, end: blob.bytes };
  if (range !== undefined) response.header("Content-Range", `bytes ${start}-${end - 1}/${blob.bytes}`);
  response.start(range === undefined ? 200 : 206, "application/octet-stream", end - start);
  if (!headOnly) for await (const piece of store.readBlob(digest, start, end)) await send(response, piece);
  response.end();
}

/** From the registry that this one is a cache of, whole: a range of it could not be verified. */
async function fetchBlob({ mirror, exchange, response }: Call, repository: string, digest: Digest): Promise<void> {
  const bytes = await mirror?.sizeOf(repository, digest);
  if (mirror === undefined || bytes === undefined) throw unknownBlob(digest);
  const start = (): void => {
    response.header("Docker-Content-Digest", digest);
    response.start(200, "application/octet-stream", bytes);
  };
  if (exchange.head.method !== "HEAD")
    for await (const piece of mirror.fetchBlob(repository, digest, bytes, exchange.signal)) {
      // Not before: an error of the other registry is an answer of its own.
      if (!response.started) start();
      await send(response, piece);
    }
  if (!response.started) start();
  response.end();
}

export async function deleteBlob(call: Call, repository: string, reference: string): Promise<Done> {
  const digest = digestOf(reference);
  const removed = await call.store.exclusively(repository, () => call.store.unlinkBlob(repository, digest));
  if (!removed) throw unknownBlob(digest);
  call.response.empty(202);
  return { action: "delete-blob", digest };
}

function unknownBlob(digest: Digest): Refusal {
  return new Refusal("BLOB_UNKNOWN", "blob unknown to registry", { detail: { digest } });
}
