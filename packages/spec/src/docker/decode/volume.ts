/** Bodies of the volume endpoints. */
import type { VolumeCreateRequest } from "../volume.ts";
import { decodeBody } from "../../decode/decoder.ts";
import { map, nullable, string, struct } from "../../decode/go.ts";

const volumeCreate = struct<VolumeCreateRequest>("volume.CreateRequest", {
  Name: string,
  Driver: string,
  DriverOpts: nullable(map(string)),
  Labels: nullable(map(string)),
});

/** @throws invalid-argument */
export function decodeVolumeCreate(document: unknown): VolumeCreateRequest {
  return decodeBody(volumeCreate, document);
}
