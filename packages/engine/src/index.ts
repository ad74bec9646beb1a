export * from "./contract.ts";
export { createEngine, type Engine, type EngineLife, type EngineOptions, type EngineParts } from "./engine.ts";
export type { ContainerBackend } from "./containers/container-backend.ts";
export { checkLogSettings } from "./containers/log-config.ts";
export { createNetworkState } from "./networks/network-state.ts";
export { createOciTranslation } from "./oci/translation.ts";
export { createVolumeBackend, type VolumeBackend } from "./volumes/volume-backend.ts";
export { createImageBackend, imageParts, type ImageBackend } from "./images/image-backend.ts";
export { describeLayers } from "@fathom/containers/description";
