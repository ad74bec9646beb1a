export { parseBool } from "./booleans.ts";
export * from "./digest.ts";
export * from "./docker/index.ts";
export * from "./image-config.ts";
export * from "./manifest.ts";
export * from "./media-types.ts";
export * from "./mount-words.ts";
export * from "./oci-image.ts";
export * from "./oci-runtime.ts";
export * from "./oci-values.ts";
export * from "./platform.ts";
export * from "./reference.ts";
export * from "./sizes.ts";
export * from "./stream-frames.ts";
export * from "./ulimits.ts";
export * from "./docker-seccomp.ts";
export { type Decoder, between, boolean, decodeDocument, isObject, unsigned } from "./decode/decoder.ts";
export { anything, exact, list, omittable, record, text, wholeNumber } from "./decode/exact.ts";
export { parseJson } from "./decode/json.ts";
export {
  decodeCommitConfig,
  decodeContainerCreate,
  decodeContainerUpdate,
  decodeExecCreate,
  decodeExecStart,
} from "./docker/decode/container.ts";
export { parseJsonText } from "./docker/decode/json-text.ts";
export { decodePlatform } from "./docker/decode/platform.ts";
export { decodeVolumeCreate } from "./docker/decode/volume.ts";
