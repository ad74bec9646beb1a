/** Manifests: pull (end-3), push (end-7), delete (end-9). */
import { isDigest, maxManifestBytes, sha256Digest, type Digest } from "@fathom/spec";
import type { ManifestRow, RegistryStore } from "../contract.ts";
import { isForeign, readManifest, type Entry, type PushedManifest } from "../manifests/manifest.ts";
import { isTag } from "../names/names.ts";
import { answeredByEtag, digestOf, type Call, type Done } from "../server/call.ts";
import { received } from "../server/received.ts";
import { send } from "../server/sent.ts";
import { Refusal } from "../server/refusal.ts";

/** Tags that one push may set besides the one in its path. */
const maxTags = 100;

export async function getManifest(call: Call, repository: string, reference: string): Promise<void> {
  const { store, exchange, response, mirror } = call;
  checkReference(reference);
  await mirror?.refresh(repository, reference, exchange.signal);
  const digest = await resolve(store, repository, reference);
  const row = digest === undefined ? undefined : await store.findManifest(repository, digest);
  if (row === undefined) throw unknownManifest(repository, reference);
  response.header("Docker-Content-Digest", row.digest);
  if (answeredByEtag(call, row.digest)) return;
  response.start(200, row.mediaType, row.bytes);
  if (exchange.head.method !== "HEAD")
    for await (const piece of store.readBlob(row.digest, 0, row.bytes)) await send(response, piece);
  response.end();
}

/** A tag or a digest. @throws Refusal */
function checkReference(reference: string): void {
  if (reference.includes(":")) digestOf(reference);
  else if (!isTag(reference)) throw invalidTag(reference);
}

async function resolve(store: RegistryStore, repository: string, reference: string): Promise<Digest | undefined> {
  if (isDigest(reference)) return reference;
  return (await store.findTag(repository, reference))?.digest;
}

export async function putManifest(call: Call, repository: string, reference: string): Promise<Done> {
  const { store, exchange, response, query, principal, now } = call;
  const raw = await readBody(call);
  const wanted = reference.includes(":") ? digestOf(reference) : undefined;
  const tags = [...new Set([...(wanted === undefined ? [reference] : []), ...query.getAll("tag")])];
  if (tags.length > maxTags)
    throw new Refusal("TAG_INVALID", `more than ${maxTags} tags in one request`, { status: 414 });
  for (const tag of tags) if (!isTag(tag)) throw invalidTag(tag);
  const digest = digestLike(wanted, raw);
  if (wanted !== undefined && wanted !== digest)
    throw new Refusal("DIGEST_INVALID", "provided digest did not match uploaded content", {
      detail: { digest: wanted },
    });
  const reading = readManifest(raw, exchange.head.headers.get("content-type"));
  if (reading.kind === "invalid") throw new Refusal("MANIFEST_INVALID", reading.reason);
  const { manifest } = reading;
  const row: ManifestRow = {
    digest,
    mediaType: manifest.mediaType,
    bytes: raw.byteLength,
    references: [...new Set([...manifest.blobs, ...manifest.manifests].map((entry) => entry.digest))],
    ...(manifest.subject === undefined ? {} : { subject: manifest.subject }),
    ...(manifest.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
    pushedAtMs: now(),
    ...(principal.name === undefined ? {} : { pushedBy: principal.name }),
  };
  await store.exclusively(repository, async () => {
    await refuseMissing(store, repository, manifest);
    for (const tag of tags) await refuseChange(call, repository, tag, digest);
    await store.putManifest(repository, row, raw, tags);
  });
  response.header("Location", `/v2/${repository}/manifests/${digest}`);
  response.header("Docker-Content-Digest", digest);
  if (manifest.subject !== undefined) response.header("OCI-Subject", manifest.subject);
  if (query.has("tag")) for (const tag of tags) response.header("OCI-Tag", tag);
  response.empty(201);
  return { action: "push-manifest", digest, reference: tags.join(" ") || digest };
}

async function readBody({ exchange }: Call): Promise<Uint8Array> {
  const { body } = exchange;
  const tooLarge = (): Refusal =>
    new Refusal("MANIFEST_INVALID", `a manifest may have ${maxManifestBytes} bytes`, { status: 413 });
  if (body.left > maxManifestBytes) throw tooLarge();
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of received(exchange)) {
    size += piece.byteLength;
    if (size > maxManifestBytes) throw tooLarge();
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function digestLike(wanted: Digest | undefined, raw: Uint8Array): Digest {
  if (wanted === undefined || !wanted.startsWith("sha512:")) return sha256Digest(raw);
  return digestOf(`sha512:${new Bun.CryptoHasher("sha512").update(raw).digest("hex")}`);
}

/** All parts must be in this repository, with the sizes that the manifest says. */
async function refuseMissing(store: RegistryStore, repository: string, manifest: PushedManifest): Promise<void> {
  const missing: Digest[] = [];
  const check = async (entry: Entry, bytes: number | undefined): Promise<void> => {
    if (bytes === undefined) missing.push(entry.digest);
    else if (bytes !== entry.size)
      throw new Refusal(
        "SIZE_INVALID",
        `the manifest says that ${entry.digest} has ${entry.size} bytes, but it has ${bytes}`,
      );
  };
  for (const entry of manifest.blobs)
    if (!isForeign(entry)) await check(entry, (await store.findBlob(repository, entry.digest))?.bytes);
  for (const entry of manifest.manifests) {
    // An index of BuildKit's cache names blobs.
    const found =
      (await store.findManifest(repository, entry.digest)) ?? (await store.findBlob(repository, entry.digest));
    await check(entry, found?.bytes);
  }
  if (missing.length > 0)
    throw new Refusal("MANIFEST_BLOB_UNKNOWN", "manifest references a manifest or blob unknown to registry", {
      detail: { digest: missing[0], count: missing.length },
    });
}

async function refuseChange(
  { store, policies }: Call,
  repository: string,
  tag: string,
  digest?: Digest,
): Promise<void> {
  if (!policies.isImmutable(repository, tag)) return;
  const known = await store.findTag(repository, tag);
  if (known !== undefined && known.digest !== digest)
    throw new Refusal("DENIED", `the tag ${tag} of ${repository} is immutable, and it exists: push another tag`);
}

export async function deleteManifest(call: Call, repository: string, reference: string): Promise<Done> {
  const { store, response } = call;
  if (!reference.includes(":")) {
    if (!isTag(reference)) throw invalidTag(reference);
    await store.exclusively(repository, async () => {
      await refuseChange(call, repository, reference);
      if (!(await store.deleteTag(repository, reference))) throw unknownManifest(repository, reference);
    });
    response.empty(202);
    return { action: "delete-tag", reference };
  }
  const digest = digestOf(reference);
  await store.exclusively(repository, async () => {
    for (const tag of await store.tags(repository))
      if (call.policies.isImmutable(repository, tag) && (await store.findTag(repository, tag))?.digest === digest)
        await refuseChange(call, repository, tag);
    if (!(await store.deleteManifest(repository, digest))) throw unknownManifest(repository, reference);
  });
  response.empty(202);
  return { action: "delete-manifest", digest };
}

function invalidTag(tag: string): Refusal {
  return new Refusal("TAG_INVALID", `invalid tag ${JSON.stringify(tag.slice(0, 200))}`);
}

function unknownManifest(repository: string, reference: string): Refusal {
  const detail = isDigest(reference) ? { name: repository, revision: reference } : { name: repository, tag: reference };
  return new Refusal("MANIFEST_UNKNOWN", "manifest unknown to registry", { detail });
}
