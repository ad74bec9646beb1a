/** One image as an archive has it. */
import { EngineError, messageOf } from "@fathom/base";
import type { Reference } from "@fathom/spec";
import { parseRepositoryTag } from "../names/names.ts";

export interface ArchivedImage {
  readonly config: Uint8Array;
  readonly layers: readonly string[];
  /** With a tag, or with a digest that is one of the manifests'. */
  readonly names: readonly Reference[];
  /** What came along and has to stay byte for byte: the image's own, then the index that its name gives the digest of. */
  readonly manifests: readonly Uint8Array[];
}

/** A tag that an archive gives its image: what `docker tag` would take. */
export function tagOf(text: string): Reference {
  try {
    return parseRepositoryTag(text, undefined);
  } catch (error) {
    throw new EngineError("invalid-argument", `invalid tag ${JSON.stringify(text)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
