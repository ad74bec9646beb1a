/** `--platform` as the image endpoints take it: JSON. Pull and create take the text. */
import { parsePlatform } from "@fathom/spec";

export function platformQuery(text: string): string | undefined {
  return text === "" ? undefined : JSON.stringify(parsePlatform(text));
}
