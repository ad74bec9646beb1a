/** The networks in a row, a description or an adopt file, also of a version whose endpoints had only one IPv4 address. */
import { readEndpoint } from "@fathom/network";
import type { NetworkAttachment } from "../record.ts";

/** Only this package writes the user's settings, so they are trusted; the networks read the endpoint. @throws data-loss */
export function readAttachments(stored: readonly NetworkAttachment[]): NetworkAttachment[] {
  return stored.map((attachment) => {
    const { endpoint } = attachment;
    return { ...attachment, endpoint: endpoint === undefined ? undefined : readEndpoint(endpoint) };
  });
}
