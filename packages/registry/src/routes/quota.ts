/** How much one repository may have. */
import type { Digest } from "@fathom/spec";
import type { Call } from "../server/call.ts";
import { Refusal } from "../server/refusal.ts";

/** Counts the blobs of the repository once each. @throws Refusal DENIED when one more does not fit */
export async function refuseOverQuota(
  { store, policies }: Call,
  repository: string,
  digest: Digest,
  bytes: number,
): Promise<void> {
  const limit = policies.quotaOf(repository);
  if (limit === undefined || (await store.findBlob(repository, digest)) !== undefined) return;
  let used = bytes;
  for (const link of await store.blobLinks(repository))
    used += (await store.findBlob(repository, link.digest))?.bytes ?? 0;
  if (used > limit)
    throw new Refusal(
      "DENIED",
      `the repository ${repository} may have ${limit} bytes, and with this blob it would have ${used}: delete images in it`,
      { status: 413 },
    );
}
