/** One image as an archive has it. */
import { EngineError, messageOf } from "@fathom/base";
import type { Digest, Reference } from "@fathom/spec";
import { parseRepositoryTag } from "../names/names.ts";

export interface ArchivedImage {
  /** Images that are complete in the archive; the first is shown. */
  readonly platforms: readonly [ArchivedPlatform, ...ArchivedPlatform[]];
  /** With a tag, or with the target's digest. */
  readonly names: readonly Reference[];
  /** The index or manifest to which the names point; its bytes must not change. undefined when one is made. */
  readonly target: { readonly raw: Uint8Array; readonly mediaType: string } | undefined;
  /** Attestations of these platforms. */
  readonly attestations: readonly ArchivedAttestation[];
}

export interface ArchivedPlatform {
  readonly config: Uint8Array;
  /** Files. */
  readonly layers: readonly string[];
  /** The image's own; undefined when one is made. */
  readonly manifest: Uint8Array | undefined;
}

export interface ArchivedAttestation {
  /** Manifest and config. */
  readonly descriptions: readonly Uint8Array[];
  readonly layers: readonly { readonly digest: Digest; readonly file: string }[];
}

/** A tag in an archive: it must be a name that `docker tag` accepts. */
export function tagOf(text: string): Reference {
  try {
    return parseRepositoryTag(text, undefined);
  } catch (error) {
    throw new EngineError("invalid-argument", `invalid tag ${JSON.stringify(text)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
