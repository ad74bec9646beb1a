/** The rows of a store as JSON in files. */
import {
  decodeDocument,
  decodedDigest,
  exact,
  list,
  omittable,
  parseJson,
  text,
  unsigned,
  wholeNumber,
  type Decoder,
} from "@fathom/spec";
import type { ManifestRow, TagRow } from "../contract.ts";

const manifestRow = exact<ManifestRow>({
  digest: decodedDigest,
  mediaType: text,
  bytes: unsigned(),
  references: list(decodedDigest),
  subject: omittable(decodedDigest),
  artifactType: omittable(text),
  pushedAtMs: wholeNumber,
  pushedBy: omittable(text),
});

const tagRow = exact<TagRow>({ digest: decodedDigest, pushedAtMs: wholeNumber, pushedBy: omittable(text) });

/** Above the size of a row for the largest manifest. */
const limitBytes = 16 * 1024 * 1024;

function read<T>(decoder: Decoder<T>, json: string, path: string): T {
  return decodeDocument(decoder, parseJson(Buffer.from(json), path, limitBytes), path);
}

/** @throws invalid-argument for a damaged file; the message names it */
export function readManifestRow(json: string, path: string): ManifestRow {
  return read(manifestRow, json, path);
}

/** @throws invalid-argument for a damaged file; the message names it */
export function readTagRow(json: string, path: string): TagRow {
  return read(tagRow, json, path);
}

const uploadRow = exact<{ readonly repository: string }>({ repository: text });

/** @throws invalid-argument for a damaged file; the message names it */
export function readUploadRow(json: string, path: string): { readonly repository: string } {
  return read(uploadRow, json, path);
}
