/** Lists: tags (end-8), repositories (Docker's catalog), referrers (end-12). */
import { maxManifestBytes, mediaTypes } from "@fathom/spec";
import type { ManifestRow } from "../contract.ts";
import { readManifest } from "../manifests/manifest.ts";
import { digestOf, linkToNext, pageOf, type Call } from "../server/call.ts";
import { Refusal } from "../server/refusal.ts";

export async function listTags({ store, query, response }: Call, repository: string): Promise<void> {
  if (!(await store.hasRepository(repository)))
    throw new Refusal("NAME_UNKNOWN", "repository name not known to registry", { detail: { name: repository } });
  const page = pageOf(await store.tags(repository), query);
  if (page.last !== undefined)
    linkToNext(response, `/v2/${repository}/tags/list`, { n: query.get("n") ?? "", last: page.last });
  response.json(200, { name: repository, tags: page.items });
}

/** The repositories that the client may pull. */
export async function listRepositories({ store, query, response, principal }: Call): Promise<void> {
  const all = await store.repositories();
  const page = pageOf(
    all.filter((name) => principal.allows(name, "pull")),
    query,
  );
  if (page.last !== undefined) linkToNext(response, "/v2/_catalog", { n: query.get("n") ?? "", last: page.last });
  response.json(200, { repositories: page.items });
}

/** A page is at most as large as a manifest may be. */
export async function listReferrers(call: Call, repository: string, reference: string): Promise<void> {
  const { store, query, response } = call;
  const subject = digestOf(reference);
  const artifactType = query.get("artifactType");
  const last = query.get("last") ?? "";
  const manifests: object[] = [];
  let size = 0;
  let shown = "";
  for (const digest of await store.referrers(repository, subject)) {
    if (digest <= last) continue;
    const row = await store.findManifest(repository, digest);
    if (row === undefined || (artifactType !== null && row.artifactType !== artifactType)) continue;
    const entry = await descriptorOf(call, row);
    size += JSON.stringify(entry).length;
    if (size > maxManifestBytes && manifests.length > 0) {
      const filter = artifactType === null ? {} : { artifactType };
      linkToNext(response, `/v2/${repository}/referrers/${subject}`, { ...filter, last: shown });
      break;
    }
    manifests.push(entry);
    shown = digest;
  }
  if (artifactType !== null) response.header("OCI-Filters-Applied", "artifactType");
  const body = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
  response.send(200, mediaTypes.ociIndex, body);
}

/** The annotations are those of the manifest itself. */
async function descriptorOf({ store }: Call, row: ManifestRow): Promise<object> {
  const pieces: Uint8Array[] = [];
  for await (const piece of store.readBlob(row.digest, 0, row.bytes)) pieces.push(piece);
  const reading = readManifest(Buffer.concat(pieces), row.mediaType);
  const annotations = reading.kind === "manifest" ? reading.manifest.annotations : undefined;
  return {
    mediaType: row.mediaType,
    digest: row.digest,
    size: row.bytes,
    ...(row.artifactType === undefined ? {} : { artifactType: row.artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}
