/** Bodies of the volume endpoints. */
import type { VolumeCreateRequest } from "../volume.ts";
import { decodeDocument, map, nullable, string, struct } from "./decoder.ts";

const volumeCreate = struct<VolumeCreateRequest>({
  Name: string,
  Driver: string,
  DriverOpts: nullable(map(string)),
  Labels: nullable(map(string)),
});

/** @throws invalid-argument */
export function decodeVolumeCreate(document: unknown): VolumeCreateRequest {
  return decodeDocument(volumeCreate, document);
}
