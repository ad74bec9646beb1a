/** Uploads: begin, whole, mount (end-4, end-11), chunks (end-5), end (end-6), status (end-13), cancel (end-14). */
import { isEngineError } from "@fathom/base";
import { isDigest, type Digest } from "@fathom/spec";
import { isRepository, isUploadId } from "../names/names.ts";
import { digestOf, type Call, type Done } from "../server/call.ts";
import { received } from "../server/received.ts";
import { Refusal } from "../server/refusal.ts";
import { readChunkRange } from "./range.ts";
import { refuseOverQuota } from "./quota.ts";

export async function beginUpload(call: Call, repository: string): Promise<Done | undefined> {
  const { store, query, response } = call;
  const mounted = await mount(call, repository);
  if (mounted !== undefined) return mounted;
  const wanted = query.get("digest");
  // Before any byte of a body is stored.
  const digest = wanted === null ? undefined : digestOf(wanted);
  const algorithm = query.get("digest-algorithm");
  if (algorithm !== null && algorithm !== "sha256" && algorithm !== "sha512")
    throw new Refusal(
      "DIGEST_INVALID",
      `this registry does not know the digest algorithm ${JSON.stringify(algorithm)}`,
    );
  const id = await store.beginUpload(repository);
  if (digest === undefined) {
    answer(call, 202, repository, id, 0);
    return undefined;
  }
  try {
    await append(call, repository, id);
    return await commit(call, repository, id, digest);
  } catch (error) {
    // Nobody knows this upload's id.
    await store.cancelUpload(repository, id);
    throw error;
  } finally {
    if (!response.started) response.closeAfter();
  }
}

/** undefined when the blob cannot be mounted: then an upload begins, as the spec says. */
async function mount(call: Call, repository: string): Promise<Done | undefined> {
  const { store, query, principal } = call;
  const digest = query.get("mount");
  const from = query.get("from");
  if (digest === null || from === null || !isDigest(digest) || !isRepository(from)) return undefined;
  if (!principal.allows(from, "pull")) return undefined;
  const blob = await store.findBlob(from, digest);
  if (blob === undefined) return undefined;
  await refuseOverQuota(call, repository, digest, blob.bytes);
  if (!(await store.linkBlob(repository, digest))) return undefined;
  created(call, repository, digest);
  return { action: "mount-blob", reference: from, digest };
}

export async function patchUpload(call: Call, repository: string, id: string): Promise<void> {
  const offset = await offsetOf(call, repository, id);
  const { headers } = call.exchange.head;
  const field = headers.get("content-range");
  if (field !== undefined) checkChunk(call, repository, id, field, offset);
  const end = await append(call, repository, id);
  const range = field === undefined ? undefined : readChunkRange(field);
  if (range !== undefined && end !== range.end)
    throw new Refusal(
      "SIZE_INVALID",
      `the chunk has ${end - offset} bytes, its Content-Range says ${range.end - range.start}`,
    );
  answer(call, 202, repository, id, end);
}

export async function finishUpload(call: Call, repository: string, id: string): Promise<Done> {
  const digest = digestOf(call.query.get("digest"));
  const offset = await offsetOf(call, repository, id);
  const field = call.exchange.head.headers.get("content-range");
  if (field !== undefined && !call.exchange.body.ended) checkChunk(call, repository, id, field, offset);
  if (!call.exchange.body.ended) await append(call, repository, id);
  return commit(call, repository, id, digest);
}

export async function uploadStatus(call: Call, repository: string, id: string): Promise<void> {
  answer(call, 204, repository, id, await offsetOf(call, repository, id));
}

export async function cancelUpload(call: Call, repository: string, id: string): Promise<void> {
  if (!isUploadId(id) || !(await call.store.cancelUpload(repository, id))) throw unknownUpload();
  call.response.empty(204);
}

async function offsetOf({ store }: Call, repository: string, id: string): Promise<number> {
  const offset = isUploadId(id) ? await store.uploadOffset(repository, id) : undefined;
  if (offset === undefined) throw unknownUpload();
  return offset;
}

/** Chunks must arrive in order; a client that lost count gets the place where to go on. */
function checkChunk({ exchange }: Call, repository: string, id: string, field: string, offset: number): void {
  const range = readChunkRange(field);
  if (range === undefined)
    throw new Refusal("BLOB_UPLOAD_INVALID", `malformed Content-Range ${JSON.stringify(field)}: expected START-END`);
  if (range.start !== offset)
    throw new Refusal("BLOB_UPLOAD_INVALID", `the upload has ${offset} bytes, but the chunk begins at ${range.start}`, {
      status: 416,
      fields: { Location: locationOf(repository, id), Range: rangeOf(offset), "Docker-Upload-UUID": id },
    });
  const { body } = exchange;
  if (body.framing === "length" && body.left !== range.end - range.start)
    throw new Refusal(
      "SIZE_INVALID",
      `the body has ${body.left} bytes, its Content-Range says ${range.end - range.start}`,
    );
}

async function append(call: Call, repository: string, id: string): Promise<number> {
  try {
    const offset = await call.store.writeUpload(repository, id, received(call.exchange));
    if (offset === undefined) throw unknownUpload();
    return offset;
  } catch (error) {
    throw busy(error);
  }
}

async function commit(call: Call, repository: string, id: string, digest: Digest): Promise<Done> {
  const { store } = call;
  try {
    await refuseOverQuota(call, repository, digest, (await store.uploadOffset(repository, id)) ?? 0);
    const result = await store.commitUpload(repository, id, digest);
    if (result.kind === "unknown") throw unknownUpload();
    if (result.kind === "different")
      throw new Refusal("DIGEST_INVALID", "provided digest did not match uploaded content", { detail: { digest } });
  } catch (error) {
    throw busy(error);
  }
  created(call, repository, digest);
  return { action: "push-blob", digest };
}

function created({ response }: Call, repository: string, digest: Digest): void {
  response.header("Location", `/v2/${repository}/blobs/${digest}`);
  response.header("Docker-Content-Digest", digest);
  response.empty(201);
}

function answer({ response }: Call, status: number, repository: string, id: string, offset: number): void {
  response.header("Location", locationOf(repository, id));
  response.header("Range", rangeOf(offset));
  response.header("Docker-Upload-UUID", id);
  response.empty(status);
}

function locationOf(repository: string, id: string): string {
  return `/v2/${repository}/blobs/uploads/${id}`;
}

/** An empty upload has no last byte; all registries say 0-0. */
function rangeOf(offset: number): string {
  return `0-${Math.max(0, offset - 1)}`;
}

function unknownUpload(): Refusal {
  return new Refusal("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
}

function busy(error: unknown): unknown {
  if (!isEngineError(error, "conflict")) return error;
  return new Refusal("BLOB_UPLOAD_INVALID", error.message, { status: 409 });
}
