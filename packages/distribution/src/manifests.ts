/** Manifests of a repository. Each is fetched with a size limit and verified against every known digest; an index leads to a platform's manifest. */
import { EngineError } from "@fathom/base";
import {
  acceptedManifests,
  canonicalString,
  familiarString,
  formatPlatform,
  hostPlatform,
  imageEntries,
  isDigest,
  maxManifestBytes,
  parseManifest,
  pickPlatform,
  type Descriptor,
  type Digest,
  type Platform,
  type Reference,
} from "@fathom/spec";
import type { ResolvedImage, ResolvedManifest } from "./contract.ts";
import { digestOf } from "./digests.ts";
import { RegistryError } from "./errors.ts";
import type { Session } from "./session.ts";

const accept = acceptedManifests.join(", ");
/** An index may point to an index. Deeper nesting is rejected. */
const maxIndexDepth = 3;

function manifestPath(repository: string, target: string): string {
  return `${repository}/manifests/${target}`;
}

/** What the request names: the reference's digest if it has one, else its tag. */
export function targetOf(reference: Reference): string {
  return reference.digest ?? reference.tag ?? "latest";
}

/**
 * @param expected The digest that the bytes must have, and the size in their descriptor.
 * @throws not-found, data-loss, invalid-argument (over 4 MiB)
 */
export async function fetchManifest(
  session: Session,
  reference: Reference,
  expected: { readonly digest: Digest; readonly size?: number } | undefined,
  signal: AbortSignal | undefined,
): Promise<ResolvedManifest> {
  const target = expected?.digest ?? targetOf(reference);
  const name = canonicalString(reference);
  const answer = await session.request({
    method: "GET",
    path: manifestPath(reference.repository, target),
    headers: { accept },
    signal,
  });
  const length = Number(answer.headers.get("content-length") ?? 0);
  if (length > maxManifestBytes) {
    await answer.discard();
    throw tooLarge(name);
  }
  const raw = await answer.bytes(maxManifestBytes).catch((error: unknown) => {
    throw error instanceof EngineError && error.code === "invalid-argument" ? tooLarge(name) : error;
  });
  const header = answer.headers.get("docker-content-digest");
  const wanted = expected?.digest ?? (header !== null && isDigest(header) ? header : undefined);
  const digest = digestOf(raw, wanted);
  if (wanted !== undefined && digest !== wanted)
    throw new EngineError("data-loss", `manifest of ${name} has digest ${digest}, not ${wanted} as it should`);
  if (expected?.size !== undefined && raw.length !== expected.size)
    throw new EngineError(
      "data-loss",
      `manifest ${digest} of ${name} has ${raw.length} bytes, not ${expected.size} as its index says`,
    );
  try {
    const { mediaType } = parseManifest(raw, answer.headers.get("content-type") ?? undefined);
    return { digest, mediaType, raw };
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new EngineError(error.code, `manifest of ${name}: ${error.message}`, { cause: error });
  }
}

function tooLarge(name: string): EngineError {
  return new EngineError("invalid-argument", `manifest of ${name} is larger than the limit of 4 MiB`);
}

/** One HEAD; a GET when the registry rejects HEAD or its answer has no digest. */
export async function headManifest(
  session: Session,
  reference: Reference,
  signal: AbortSignal | undefined,
): Promise<{ digest: Digest; mediaType: string; size: number }> {
  try {
    const answer = await session.request({
      method: "HEAD",
      path: manifestPath(reference.repository, targetOf(reference)),
      headers: { accept },
      signal,
    });
    await answer.discard();
    const digest = answer.headers.get("docker-content-digest");
    const size = Number(answer.headers.get("content-length") ?? Number.NaN);
    const mediaType = answer.headers.get("content-type")?.split(";")[0]?.trim() ?? "";
    if (digest !== null && isDigest(digest) && Number.isSafeInteger(size)) return { digest, mediaType, size };
  } catch (error) {
    // An answer to HEAD has no error text. The answer to GET has one, and it is shown.
    if (!(error instanceof RegistryError) || error.reason === "no-credentials") throw error;
  }
  const manifest = await fetchManifest(
    session,
    reference,
    reference.digest === undefined ? undefined : { digest: reference.digest },
    signal,
  );
  return { digest: manifest.digest, mediaType: manifest.mediaType, size: manifest.raw.length };
}

/**
 * The image that a reference means for a platform.
 * @param platform The wanted platform; undefined for this machine's.
 * @throws not-found "no matching manifest for linux/s390x in the manifest list entries"
 */
export async function resolveImage(
  session: Session,
  reference: Reference,
  platform: Platform | undefined,
  signal: AbortSignal | undefined,
  onTarget: () => void = () => undefined,
): Promise<ResolvedImage> {
  const wanted = platform ?? hostPlatform();
  const target = await fetchManifest(
    session,
    reference,
    reference.digest === undefined ? undefined : { digest: reference.digest },
    signal,
  );
  onTarget();
  let manifest = target;
  let chosen: Descriptor | undefined;
  for (let depth = 0; ; depth++) {
    const parsed = parseManifest(manifest.raw, manifest.mediaType);
    if (parsed.kind === "manifest") return { target, manifest, image: parsed.manifest, platform: chosen?.platform };
    if (depth >= maxIndexDepth)
      throw new EngineError("invalid-argument", `the index of ${familiarString(reference)} is nested too deeply`);
    const entry = pickPlatform(wanted, imageEntries(parsed.index));
    if (entry === undefined)
      throw new EngineError(
        "not-found",
        `no matching manifest for ${formatPlatform(wanted)} in the manifest list entries`,
      );
    chosen = entry;
    manifest = await fetchManifest(session, reference, { digest: entry.digest, size: entry.size }, signal);
  }
}
