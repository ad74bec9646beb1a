/** Shared by the engine's files: the containers' context, and what Docker's API needs in addition. */
import type { ContainersContext } from "@fathom/containers";
import type { EngineConfig, ImageSource, OciTranslation } from "./contract.ts";
import type { Events } from "./system/events.ts";

export interface EngineContext extends ContainersContext {
  readonly config: EngineConfig;
  readonly images: ImageSource;
  readonly oci: OciTranslation;
  readonly events: Events;
}
