/**
 * Tracked UDP flows (ctnetlink). NAT rules do not check a tracked flow again. So a client that sent to a port before it was published, or after
 * its container ended, would send its packets nowhere as long as it sends.
 */
import { ipv4Bytes, ipv4FromBytes, type Ipv4 } from "../ipam/ip.ts";
import type { NetlinkConnection, NetlinkRequest } from "./connection.ts";
import { decodeAttributes, PayloadWriter, type ReceivedNetlinkMessage } from "./message.ts";
import { AF_INET } from "./route-numbers.ts";
import { NLM_F_DUMP } from "@fathom/sys";

const subsystem = 1;
const IPCTNL_MSG_CT_NEW = subsystem << 8;
const IPCTNL_MSG_CT_GET = (subsystem << 8) | 1;
const IPCTNL_MSG_CT_DELETE = (subsystem << 8) | 2;
const IPPROTO_UDP = 17;

const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_FILTER = 25;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
/** Fields of a tuple that the kernel compares: source address, protocol, destination port (from 5.8 on; older kernels return every flow). */
const filterFlag = { source: 1, protocol: 8, destinationPort: 32 } as const;

export type FlowFilter =
  /** Sent to this port of the host, and not redirected. */
  | { readonly kind: "to-port"; readonly port: number }
  /** Answered, or to be answered, from this address. */
  | { readonly kind: "from-container"; readonly address: Ipv4 };

/** With one filter, the kernel selects the flows. With several, it returns every UDP flow once, and the code here selects. */
function dumpFlows(filters: readonly FlowFilter[]): NetlinkRequest {
  const writer = new PayloadWriter().u8(AF_INET).u8(0).u16be(0);
  const [filter] = filters;
  if (filters.length !== 1 || filter === undefined)
    writer
      .nest(CTA_TUPLE_ORIG, (tuple) => tuple.nest(CTA_TUPLE_PROTO, (protocol) => protocol.attributeU8(1, IPPROTO_UDP)))
      .nest(CTA_FILTER, (flags) => flags.attributeU32(1, filterFlag.protocol).attributeU32(2, 0));
  else if (filter.kind === "to-port")
    writer
      .nest(CTA_TUPLE_ORIG, (tuple) =>
        tuple.nest(CTA_TUPLE_PROTO, (protocol) =>
          protocol.attributeU8(1, IPPROTO_UDP).attribute(3, Uint8Array.of(filter.port >>> 8, filter.port & 255)),
        ),
      )
      .nest(CTA_FILTER, (flags) =>
        flags.attributeU32(1, filterFlag.protocol | filterFlag.destinationPort).attributeU32(2, 0),
      );
  else
    writer
      .nest(CTA_TUPLE_REPLY, (tuple) =>
        tuple
          .nest(CTA_TUPLE_IP, (address) => address.attribute(1, ipv4Bytes(filter.address)))
          .nest(CTA_TUPLE_PROTO, (protocol) => protocol.attributeU8(1, IPPROTO_UDP)),
      )
      .nest(CTA_FILTER, (flags) => flags.attributeU32(1, 0).attributeU32(2, filterFlag.source | filterFlag.protocol));
  return { type: IPCTNL_MSG_CT_GET, flags: NLM_F_DUMP, payload: writer.finish(), action: "list tracked UDP flows" };
}

interface Tuple {
  readonly source: Ipv4;
  readonly destination: Ipv4;
  readonly protocol: number;
  readonly destinationPort: number;
}

function decodeTuple(bytes: Uint8Array | undefined): Tuple | undefined {
  if (bytes === undefined) return undefined;
  const parts = decodeAttributes(bytes);
  const addresses = decodeAttributes(parts.get(CTA_TUPLE_IP) ?? new Uint8Array());
  const protocol = decodeAttributes(parts.get(CTA_TUPLE_PROTO) ?? new Uint8Array());
  const [source, destination, number, port] = [addresses.get(1), addresses.get(2), protocol.get(1), protocol.get(3)];
  if (source?.length !== 4 || destination?.length !== 4 || number === undefined) return undefined;
  return {
    source: ipv4FromBytes(source),
    destination: ipv4FromBytes(destination),
    protocol: number[0] ?? 0,
    destinationPort: port === undefined || port.length < 2 ? 0 : (port[0]! << 8) | port[1]!,
  };
}

/** The deletion of a listed flow when one of the filters matches it. */
export function deletionOf(
  message: ReceivedNetlinkMessage,
  filters: readonly FlowFilter[],
): NetlinkRequest | undefined {
  if (message.type !== IPCTNL_MSG_CT_NEW) return undefined;
  const attributes = decodeAttributes(message.payload.subarray(4));
  const original = decodeTuple(attributes.get(CTA_TUPLE_ORIG));
  const reply = decodeTuple(attributes.get(CTA_TUPLE_REPLY));
  if (original?.protocol !== IPPROTO_UDP || reply === undefined) return undefined;
  const meant = filters.some((filter) =>
    filter.kind === "to-port"
      ? original.destinationPort === filter.port && reply.source === original.destination
      : reply.source === filter.address,
  );
  if (!meant) return undefined;
  const writer = new PayloadWriter().u8(AF_INET).u8(0).u16be(0);
  for (const type of [CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID]) {
    const value = attributes.get(type);
    // A tuple is nested, and the kernel wants that flag.
    if (value !== undefined) writer.attribute(type === CTA_TUPLE_ORIG ? type | 0x8000 : type, value);
  }
  return { type: IPCTNL_MSG_CT_DELETE, flags: 0, payload: writer.finish(), action: "remove a tracked UDP flow" };
}

/** Removes the flows that any of the filters matches. A flow that ends meanwhile is no error. */
export function forgetFlows(connection: NetlinkConnection, filters: readonly FlowFilter[]): void {
  if (filters.length === 0) return;
  const deletions = connection.send([dumpFlows(filters)]).flatMap((message) => deletionOf(message, filters) ?? []);
  if (deletions.length > 0) connection.send(deletions, ["ENOENT"]);
}
