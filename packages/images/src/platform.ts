/** The platform that an image is for. */
import { formatPlatform, type ImageConfig, type Platform } from "@fathom/spec";

export function platformOf({ os, architecture, variant }: ImageConfig): Platform {
  return { os, architecture, ...(variant === undefined || variant === "" ? {} : { variant }) };
}

/** Docker's words for an error and a warning. `name` is the user's name for the image. */
export function platformMismatchText(name: string, own: Platform, wanted: Platform): string {
  return `image with reference ${name} was found but its platform (${formatPlatform(own)}) does not match the specified platform (${formatPlatform(wanted)})`;
}
