/** The page for people: repositories at "/", the tags of one at "/r/NAME". Without scripts. */
import { decodeDocument, exact, isIndexType, maxManifestBytes, optional, parseJson, text } from "@fathom/spec";
import type { ManifestRow, RegistryStore } from "../contract.ts";
import { isImageConfig, readManifest, type PushedManifest } from "../manifests/manifest.ts";
import { isRepository } from "../names/names.ts";
import { pageOf, type Call } from "../server/call.ts";
import { Refusal } from "../server/refusal.ts";
import { documentOf, html, type Html } from "./html.ts";

/** Rows of one page. */
const pageRows = 100;

/** "refused": the client must log in to see it. @throws Refusal */
export async function showPage(call: Call, path: string): Promise<"shown" | "refused"> {
  const { exchange, response, principal } = call;
  if (exchange.head.method !== "GET" && exchange.head.method !== "HEAD")
    throw new Refusal("UNSUPPORTED", "the operation is unsupported");
  const repository = path === "/" ? undefined : path.slice("/r/".length);
  if (repository !== undefined && !isRepository(repository))
    throw new Refusal("NAME_INVALID", "invalid repository name");
  if (repository !== undefined && !principal.allows(repository, "pull")) return "refused";
  const page = repository === undefined ? await repositoriesPage(call) : await tagsPage(call, repository);
  if (page === undefined) return "refused";
  // Nothing on the page may load or run anything.
  response.header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
  response.header("Cache-Control", "no-store");
  response.send(200, "text/html; charset=utf-8", page);
  return "shown";
}

function paged(query: URLSearchParams, items: readonly string[]): ReturnType<typeof pageOf> {
  const wanted = new URLSearchParams({ n: String(pageRows) });
  const last = query.get("last");
  if (last !== null) wanted.set("last", last);
  return pageOf(items, wanted);
}

function more(last: string | undefined): Html {
  return last === undefined ? html`` : html`<p><a href="?last=${encodeURIComponent(last)}">More</a></p>`;
}

async function repositoriesPage({ store, principal, query }: Call): Promise<string | undefined> {
  const visible = (await store.repositories()).filter((name) => principal.allows(name, "pull"));
  if (visible.length === 0 && principal.name === undefined && !principal.allows("any", "pull")) return undefined;
  const { items, last } = paged(query, visible);
  const rows: Html[] = [];
  for (const name of items) {
    const tags = await store.tags(name);
    rows.push(
      html`<tr>
        <td><a href="/r/${name}">${name}</a></td>
        <td class="number">${tags.length}</td>
      </tr>`,
    );
  }
  const body = html`<h1>Repositories</h1>
    <table>
      <tr>
        <th>Name</th>
        <th>Tags</th>
      </tr>
      ${rows}
    </table>
    ${more(last)}`;
  return documentOf("Repositories", body);
}

async function tagsPage({ store, query }: Call, repository: string): Promise<string> {
  if (!(await store.hasRepository(repository)))
    throw new Refusal("NAME_UNKNOWN", "repository name not known to registry");
  const { items, last } = paged(query, await store.tags(repository));
  const rows: Html[] = [];
  for (const tag of items) {
    const row = await store.findTag(repository, tag);
    const manifest = row === undefined ? undefined : await store.findManifest(repository, row.digest);
    if (row === undefined || manifest === undefined) continue;
    const images = await imagesOf(store, repository, manifest);
    const pushed = new Date(row.pushedAtMs).toISOString().replace("T", " ").slice(0, 16);
    const lines = images.map(
      ({ platform, layers, bytes }) => html`<div>${platform}: ${layers} layers, ${sizeText(bytes)}</div>`,
    );
    rows.push(
      html`<tr>
        <td>${tag}</td>
        <td>${lines}</td>
        <td>${pushed} UTC${row.pushedBy === undefined ? "" : ` by ${row.pushedBy}`}</td>
        <td><code>${row.digest}</code></td>
      </tr>`,
    );
  }
  const body = html`<p><a href="/">Repositories</a></p>
    <h1>${repository}</h1>
    <table>
      <tr>
        <th>Tag</th>
        <th>Images</th>
        <th>Pushed</th>
        <th>Digest</th>
      </tr>
      ${rows}
    </table>
    ${more(last)}`;
  return documentOf(repository, body);
}

interface ShownImage {
  readonly platform: string;
  readonly layers: number;
  readonly bytes: number;
}

/** Most images of one index that the page shows. */
const shownImages = 20;

async function imagesOf(store: RegistryStore, repository: string, row: ManifestRow): Promise<ShownImage[]> {
  const manifest = await manifestOf(store, row);
  if (manifest === undefined) return [];
  if (!isIndexType(row.mediaType)) return [await imageOf(store, manifest, undefined)];
  const images: ShownImage[] = [];
  for (const { digest, platform } of manifest.manifests.slice(0, shownImages)) {
    const child = await store.findManifest(repository, digest);
    const read = child === undefined ? undefined : await manifestOf(store, child);
    const name = [platform?.os, platform?.architecture, platform?.variant].filter(Boolean).join("/");
    if (read !== undefined) images.push(await imageOf(store, read, name));
  }
  return images;
}

async function imageOf(
  store: RegistryStore,
  { blobs, artifactType }: PushedManifest,
  platform: string | undefined,
): Promise<ShownImage> {
  const [config, ...layers] = blobs;
  const bytes = blobs.reduce((size, blob) => size + blob.size, 0);
  const image = config !== undefined && isImageConfig(config.mediaType);
  const own = image && platform === undefined ? await platformOf(store, config) : undefined;
  return { platform: platform ?? own ?? artifactType ?? "image", layers: layers.length, bytes };
}

async function platformOf(store: RegistryStore, config: PushedManifest["blobs"][number]): Promise<string | undefined> {
  const raw = await bytesOf(store, config.digest, config.size).catch(() => undefined);
  const { os, architecture } = raw === undefined ? {} : readPlatform(raw);
  return os === undefined || architecture === undefined ? undefined : `${os}/${architecture}`;
}

function readPlatform(raw: Uint8Array): { os?: string; architecture?: string } {
  try {
    return decodeDocument(
      exact<{ os?: string; architecture?: string }>({ os: optional(text), architecture: optional(text) }),
      parseJson(raw, "config", maxManifestBytes),
      "config",
    );
  } catch {
    // The registry takes any bytes as a config.
    return {};
  }
}

async function manifestOf(store: RegistryStore, row: ManifestRow): Promise<PushedManifest | undefined> {
  const reading = readManifest(await bytesOf(store, row.digest, row.bytes), row.mediaType);
  return reading.kind === "manifest" ? reading.manifest : undefined;
}

async function bytesOf(store: RegistryStore, digest: ManifestRow["digest"], size: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of store.readBlob(digest, 0, Math.min(size, maxManifestBytes))) pieces.push(piece);
  return Buffer.concat(pieces);
}

function sizeText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = bytes;
  let unit = 0;
  for (; size >= 1000 && unit < units.length - 1; unit++) size /= 1000;
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}
