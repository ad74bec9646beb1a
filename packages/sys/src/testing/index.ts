export { createCallContext } from "../calls/context.ts";
export { openOverlay } from "../calls/overlay.ts";
export { loadNative } from "../native.ts";
export * from "./recording.ts";
