export { parseBool } from "./texts/booleans.ts";
export { parseAddressPrefix, type AddressPrefix } from "./texts/address-prefix.ts";
export * from "./digest.ts";
export * from "./docker/index.ts";
export * from "./oci/image-config.ts";
export * from "./oci/manifest.ts";
export * from "./oci/media-types.ts";
export * from "./texts/mount-words.ts";
export * from "./oci/image.ts";
export * from "./oci/runtime.ts";
export * from "./oci/values.ts";
export * from "./platform.ts";
export * from "./reference.ts";
export { ignoreMatcher } from "./texts/ignore-patterns.ts";
export * from "./texts/sizes.ts";
export * from "./stream-frames.ts";
export * from "./texts/ulimits.ts";
export * from "./docker/seccomp.ts";
export {
  type Decoder,
  type JsonObject,
  DecodeError,
  between,
  boolean,
  decodeDocument,
  isObject,
  optional,
  refused,
  unsigned,
} from "./decode/decoder.ts";
export { anything, exact, list, number, omittable, oneOf, orElse, record, text, wholeNumber } from "./decode/exact.ts";
export { parseJson } from "./decode/json.ts";
export { type RegistryAuth, decodeAuthConfig } from "./docker/decode/auth.ts";
export {
  decodeCommitConfig,
  decodeContainerCreate,
  decodeContainerUpdate,
  decodeExecCreate,
  decodeExecStart,
} from "./docker/decode/container.ts";
export { parseJsonText } from "./docker/decode/json-text.ts";
export { decodePlatform } from "./docker/decode/platform.ts";
export { decodeNetworkConnect, decodeNetworkCreate, decodeNetworkDisconnect } from "./docker/decode/network.ts";
export { decodeVolumeCreate } from "./docker/decode/volume.ts";
