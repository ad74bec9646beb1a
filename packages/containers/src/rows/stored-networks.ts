/** The networks in a row, a description or an adopt file, also of a version whose endpoints had one IPv4 address alone. */
import { readEndpoint } from "@fathom/network";
import type { NetworkAttachment } from "../record.ts";

/** What the user asked for is written by this package alone and trusted; the endpoint is the networks' own. @throws data-loss */
export function readAttachments(stored: readonly NetworkAttachment[]): NetworkAttachment[] {
  return stored.map((attachment) => {
    const { endpoint } = attachment;
    return { ...attachment, endpoint: endpoint === undefined ? undefined : readEndpoint(endpoint) };
  });
}
