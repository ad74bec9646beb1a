/** A load that counts the bytes that arrive. */
import type { FakeImages } from "@fathom/engine/testing";

/** @param pace Awaited after each piece. */
export function countUpload(pace: () => Promise<void> = async () => undefined): FakeImages["load"] {
  return async function* (body) {
    let uploaded = 0;
    for await (const bytes of body) {
      uploaded += bytes.length;
      await pace();
    }
    yield { stream: `Loaded image: ${uploaded} bytes\n` };
  };
}
