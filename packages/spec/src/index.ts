export * from "./digest.ts";
export * from "./image-config.ts";
export * from "./manifest.ts";
export * from "./media-types.ts";
export * from "./oci-image.ts";
export * from "./platform.ts";
export * from "./reference.ts";
export * from "./oci-runtime.ts";
