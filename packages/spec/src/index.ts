export * from "./digest.ts";
export * from "./oci-image.ts";
export * from "./reference.ts";
export * from "./oci-runtime.ts";
