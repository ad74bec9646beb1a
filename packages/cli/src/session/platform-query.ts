/** `--platform` as the image endpoints expect it: JSON. Pull and create expect the text. */
import { parsePlatform } from "@fathom/spec";

export function platformQuery(text: string): string | undefined {
  return text === "" ? undefined : JSON.stringify(parsePlatform(text));
}
