/** From which repository of a registry a blob can be mounted: those from which an image with the blob came, or to which it was pushed. */
import { parseReference, type Digest, type Reference } from "@fathom/spec";
import type { ImageContext } from "../context.ts";

/** @returns for a blob, the path of another repository in the registry of `target` that has it as far as it is known here */
export function repositoriesWith(
  { store: { images } }: ImageContext,
  target: Reference,
): (blob: Digest) => string | undefined {
  const known = new Map<Digest, string>();
  for (const { name, images: held, content } of images.names()) {
    // Only a name by digest shows that the registry has the image: a tag may have been set here.
    const { registry, repository, digest } = parseReference(name);
    if (digest === undefined || registry !== target.registry || repository === target.repository) continue;
    const blobs = held.flatMap((id) => [id, ...(images.get(id)?.blobs ?? [])]);
    for (const blob of [...blobs, ...content]) known.set(blob, repository);
  }
  return (blob) => known.get(blob);
}
