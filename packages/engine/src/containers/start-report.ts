/** Whose starts are reported in their root: those of images that ask for it by a label. */
import type { Digest } from "@fathom/spec";
import type { ImageSource } from "../contract.ts";

/** fathom/hello has it. */
export const stepsLabel = "io.fathom.steps";

export function wantsStartReport(images: ImageSource | undefined, imageId: Digest | ""): boolean {
  if (images === undefined || imageId === "") return false;
  return images.byId(imageId)?.config.config?.Labels?.[stepsLabel] !== undefined;
}
