/** Decides whose starts are reported in their root: containers of images that ask for it with a label. */
import type { Digest } from "@fathom/spec";
import type { ImageSource } from "../contract.ts";

/** The image fathom/hello has this label. */
export const stepsLabel = "io.fathom.steps";

export function wantsStartReport(images: ImageSource | undefined, imageId: Digest | ""): boolean {
  if (images === undefined || imageId === "") return false;
  return images.byId(imageId)?.config.config?.Labels?.[stepsLabel] !== undefined;
}
