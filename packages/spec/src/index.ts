export * from "./digest.ts";
export * from "./media-types.ts";
export * from "./oci-image.ts";
export * from "./platform.ts";
export * from "./reference.ts";
export * from "./oci-runtime.ts";
