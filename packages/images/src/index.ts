export * from "./contract.ts";
export { createImages } from "./images.ts";
export { parseRepositoryTag } from "./names/names.ts";
export { platformMismatchText } from "./platform.ts";
