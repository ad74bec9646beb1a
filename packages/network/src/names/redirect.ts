/**
 * Rules in a container's network namespace that lead port 53 of the resolver's address to the ports of its sockets, and back.
 *
 * They change the two port numbers in the packets themselves, without connection tracking: nothing is kept for a query, so no table can become
 * full, and another socket takes over from one packet to the next. Packets to the resolver change last and packets from it change first: the
 * container's own rules see port 53 in both directions, as if the sockets had that port.
 */
import { NETLINK_NETFILTER, type Sys } from "@fathom/sys";
import { ipv4Bytes, parseIpv4 } from "../ipam/ip.ts";
import { NetlinkConnection, NetlinkError, type NetlinkRequest } from "../netlink/connection.ts";
import { NLM_F_CREATE, NLM_F_EXCL } from "../netlink/message.ts";
import {
  addChain,
  addRule,
  addTable,
  batchBegin,
  batchEnd,
  deleteRules,
  NFPROTO_IPV4,
  type BaseChain,
  type TableReference,
} from "../netlink/nftables.ts";
import { compare, constant, meta, payload, setPayload, type Expression } from "../netlink/nft-expression.ts";

export type RedirectSys = Pick<Sys, "openNetlink" | "netlinkTransact" | "close" | "withNetworkNamespace">;

export interface RedirectPorts {
  readonly udpPort: number;
  readonly tcpPort: number;
}

const table: TableReference = { family: NFPROTO_IPV4, name: "fathom-names" };
const chains = { to: "to-resolver", from: "from-resolver" } as const;
const clientPort = 53;
const protocols = { tcp: { number: 6, checksumOffset: 16 }, udp: { number: 17, checksumOffset: 6 } } as const;
const offsets = { source: { address: 12, port: 0 }, destination: { address: 16, port: 2 } } as const;
/** After all chains of others, and before connection tracking. */
const last: BaseChain = { type: "filter", hook: "output", priority: 300, policy: "accept" };
const first: BaseChain = { type: "filter", hook: "output", priority: -400, policy: "accept" };

/** The kernel frees deleted rules a little later, and a socket that is closed earlier waits for it: up to 20 ms. */
const freedMs = 200;

/**
 * After earlier rules in one step. Those from earlier sockets stay: a question that one of them has received already is answered through it.
 * @throws NetlinkError
 */
export function redirect(sys: RedirectSys, namespaceFd: number, address: string, ports: RedirectPorts): void {
  using opened = new DisposableStack();
  const connection = opened.use(new NetlinkConnection(sys, NETLINK_NETFILTER, namespaceFd));
  const rules = rulesFor(address, ports);
  try {
    connection.sendBatch(batchBegin, [...newTable, ...rules], batchEnd);
    return;
  } catch (error) {
    if (!(error instanceof NetlinkError && error.errnoName === "EEXIST")) throw error;
  }
  connection.sendBatch(batchBegin, [deleteRules(table, chains.to), ...rules], batchEnd);
  const later = opened.move();
  setTimeout(() => later.dispose(), freedMs);
}

/** Fails when the table exists. */
const newTable: readonly NetlinkRequest[] = [
  { ...addTable(table), flags: NLM_F_CREATE | NLM_F_EXCL },
  addChain(table, chains.to, last),
  addChain(table, chains.from, first),
];

function rulesFor(address: string, { udpPort, tcpPort }: RedirectPorts): NetlinkRequest[] {
  const bytes = ipv4Bytes(parseIpv4(address)!);
  const lead = (
    chain: string,
    end: keyof typeof offsets,
    protocol: keyof typeof protocols,
    from: number,
    to: number,
  ): NetlinkRequest => {
    const { number, checksumOffset } = protocols[protocol];
    const at = offsets[end];
    const expressions: Expression[] = [
      payload("network", at.address, 4, 1),
      compare(1, "equal", bytes),
      meta("l4proto", 1),
      compare(1, "equal", Uint8Array.of(number)),
      payload("transport", at.port, 2, 1),
      compare(1, "equal", portBytes(from)),
      constant(1, portBytes(to)),
      setPayload("transport", at.port, 2, 1, checksumOffset),
    ];
    return addRule(table, chain, expressions, `resolver, ${protocol}`);
  };
  return [
    lead(chains.to, "destination", "udp", clientPort, udpPort),
    lead(chains.to, "destination", "tcp", clientPort, tcpPort),
    lead(chains.from, "source", "udp", udpPort, clientPort),
    lead(chains.from, "source", "tcp", tcpPort, clientPort),
  ];
}

function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >>> 8, port & 255);
}
