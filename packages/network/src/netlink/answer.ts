/** What the kernel answers to a request: acknowledgement or error, with the kernel's own words if it has any (NETLINK_EXT_ACK). */
import {
  decodeAttributes,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  readText,
  readU32,
  type ReceivedNetlinkMessage,
} from "./message.ts";
import { NLMSG_ERROR } from "@fathom/sys";

export interface NetlinkAnswer {
  /** 0 is an acknowledgement; otherwise the errno, positive. */
  readonly errno: number;
  readonly sequence: number;
  /** The kernel's message: "Interface name too long". */
  readonly text: string | undefined;
}

const NLMSGERR_ATTR_MSG = 1;
const requestHeaderLength = 16;

/** The answer in an NLMSG_ERROR message; undefined for any other. */
export function decodeAnswer(message: ReceivedNetlinkMessage): NetlinkAnswer | undefined {
  if (message.type !== NLMSG_ERROR) return undefined;
  const { payload } = message;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (payload.length < 4 + requestHeaderLength) return { errno: 5, sequence: message.sequence, text: undefined };
  const errno = Math.abs(view.getInt32(0, true));
  let text: string | undefined;
  if (message.flags & NLM_F_ACK_TLVS) {
    // The request's header is repeated after the code, its payload only without NLM_F_CAPPED.
    const requestLength = readU32(payload.subarray(4)) ?? requestHeaderLength;
    const skip = message.flags & NLM_F_CAPPED ? requestHeaderLength : (requestLength + 3) & ~3;
    text = readText(decodeAttributes(payload.subarray(4 + skip)).get(NLMSGERR_ATTR_MSG));
  }
  return { errno, sequence: message.sequence, text };
}
