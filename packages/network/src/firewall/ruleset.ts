/**
 * The engine's own nf_tables table. Its rules never change while the daemon runs: they only look up sets and maps. So adding or removing a
 * network or a published port changes only a few elements, in one atomic batch. The README has a picture of the packet paths.
 *
 * It needs nf_tables with nat, masq, ct and fib for IPv4 (every distribution's kernel from 5.10 on). Networks with IPv6 have the same rules in a
 * table of that family, without redirection, because processes forward the ports on IPv6 addresses.
 */
import type { NetlinkRequest } from "../netlink/connection.ts";
import {
  addChain,
  addRule,
  addSet,
  addTable,
  deleteTable,
  type SetDefinition,
  type TableReference,
} from "../netlink/nftables.ts";
import {
  constant,
  destinationNat,
  establishedOrRelated,
  interfaceIn,
  interfaceKind,
  interfacePairIn,
  isHostAddress,
  isLoopbackAddress,
  lookup,
  masquerade,
  meta,
  payload,
  verdict,
  wasRedirected,
  type Expression,
} from "../netlink/nft-expression.ts";
import {
  familyOfTable,
  forwardedSet,
  networkElements,
  portElements,
  portSets,
  routedSets,
  ruleSets,
  type FirewallNetwork,
  type OpenPort,
} from "./rule-elements.ts";

/** Priorities of iptables and nft: raw, dstnat, filter, srcnat. */
const priority = { raw: -300, destinationNat: -100, filter: 0, sourceNat: 100 } as const;

const drop = verdict({ kind: "drop" });
const accept = verdict({ kind: "accept" });

function setsOf(table: TableReference): SetDefinition[] {
  const family = familyOfTable(table);
  return [
    ...Object.values(ruleSets),
    routedSets[family],
    ...(family === "ipv4" ? Object.values(portSets) : [forwardedSet]),
  ];
}

/** Address, protocol and port of the destination, in registers that are one key from register 1 on. */
function destinationKey(table: TableReference): Expression[] {
  // A register of 4 bytes has the number 8 and up; an IPv6 address takes four of them.
  return familyOfTable(table) === "ipv4"
    ? [payload("network", 16, 4, 1), meta("l4proto", 9), payload("transport", 2, 2, 10)]
    : [payload("network", 24, 16, 1), meta("l4proto", 12), payload("transport", 2, 2, 13)];
}

/**
 * The whole table, which replaces one of the same name in the same batch: packets see the old or the new one, never none.
 * @param guarded The engine itself turned on IP forwarding: the host must not become a router between its other interfaces because of that.
 */
export function wholeTable(
  table: TableReference,
  networks: readonly FirewallNetwork[],
  ports: readonly OpenPort[],
  guarded: boolean,
): NetlinkRequest[] {
  const rule: Rule = (chain, comment, ...expressions) => addRule(table, chain, expressions, comment);
  return [
    // It is added first, so that the deletion succeeds when there is no table yet.
    addTable(table),
    deleteTable(table),
    addTable(table),
    ...setsOf(table).map((set, index) => addSet(table, set, index + 1)),
    addChain(table, "postrouting", {
      type: "nat",
      hook: "postrouting",
      priority: priority.sourceNat,
      policy: "accept",
    }),
    addChain(table, "forward", { type: "filter", hook: "forward", priority: priority.filter, policy: "accept" }),
    addChain(table, "to-container"),
    ...(familyOfTable(table) === "ipv4" ? publishedPortRules(table, rule) : forwardedPortRules(table, rule)),
    rule(
      "postrouting",
      "containers to the outside",
      ...interfaceIn("iifname", ruleSets.masqueraded.name),
      ...interfacePairIn(ruleSets.same.name, true),
      masquerade,
    ),

    rule(
      "forward",
      "internal networks: no way out",
      ...interfaceIn("iifname", ruleSets.internal.name),
      ...interfacePairIn(ruleSets.same.name, true),
      drop,
    ),
    rule(
      "forward",
      "internal networks: no way in",
      ...interfaceIn("oifname", ruleSets.internal.name),
      ...interfacePairIn(ruleSets.same.name, true),
      drop,
    ),
    rule(
      "forward",
      "to containers",
      ...interfaceIn("oifname", ruleSets.bridges.name),
      verdict({ kind: "goto", chain: "to-container" }),
    ),
    rule("forward", "from containers", ...interfaceIn("iifname", ruleSets.bridges.name), accept),
    rule("to-container", "answers", ...establishedOrRelated, accept),
    rule("to-container", "published ports", ...wasRedirected, accept),
    rule("to-container", "within one network", ...interfacePairIn(ruleSets.open.name), accept),
    rule("to-container", "ports of routed networks", ...destinationKey(table), lookup(routedSets.ipv4.name, 1), accept),
    rule("to-container", "unprotected networks", ...interfaceIn("oifname", ruleSets.unprotected.name), accept),
    rule("to-container", "everything else, other networks too", drop),

    ...(guarded ? guardChain(table) : []),
    ...networkElements(table, networks, true),
    ...portElements(table, ports, true),
  ];
}

type Rule = (chain: string, comment: string, ...expressions: Expression[]) => NetlinkRequest;

/** Redirection of published ports, and what it needs. */
function publishedPortRules(table: TableReference, rule: Rule): NetlinkRequest[] {
  return [
    addChain(table, "raw-prerouting", { type: "filter", hook: "prerouting", priority: priority.raw, policy: "accept" }),
    addChain(table, "prerouting", {
      type: "nat",
      hook: "prerouting",
      priority: priority.destinationNat,
      policy: "accept",
    }),
    addChain(table, "output", { type: "nat", hook: "output", priority: priority.destinationNat, policy: "accept" }),
    addChain(table, "published"),

    // route_localnet makes 127.0.0.0/8 routable on our bridges; a container must not reach the host's loopback through it.
    rule(
      "raw-prerouting",
      "no way from containers to the host's loopback",
      ...isLoopbackAddress("destination"),
      ...interfaceIn("iifname", ruleSets.bridges.name),
      drop,
    ),

    // Destination NAT happens before the kernel's check for 127.0.0.0/8 from outside (CVE-2020-8558): never redirect such packets.
    rule(
      "prerouting",
      "loopback publishes are for this host alone",
      ...isLoopbackAddress("destination"),
      verdict({ kind: "return" }),
    ),
    rule(
      "prerouting",
      "published ports",
      ...isHostAddress("destination"),
      verdict({ kind: "jump", chain: "published" }),
    ),
    rule(
      "output",
      "published ports, from this host",
      ...isHostAddress("destination"),
      verdict({ kind: "jump", chain: "published" }),
    ),
    rule(
      "published",
      "published on one address",
      payload("network", 16, 4, 1),
      meta("l4proto", 9),
      payload("transport", 2, 2, 10),
      lookup(portSets.publishedAddress.name, 1, { resultRegister: 1 }),
      destinationNat(1, 9),
    ),
    rule(
      "published",
      "published on every address",
      meta("l4proto", 1),
      payload("transport", 2, 2, 9),
      lookup(portSets.publishedAny.name, 1, { resultRegister: 1 }),
      destinationNat(1, 9),
    ),

    // 127.0.0.1:port from this host: the container could not answer to a loopback address.
    rule(
      "postrouting",
      "this host's loopback to a container",
      ...isLoopbackAddress("source"),
      ...interfaceIn("oifname", ruleSets.bridges.name),
      masquerade,
    ),
    // A container to its own published port: it would not accept a packet from its own address. (When bridged packets go through the rule set,
    // the rule below does not see the interface on which they arrived.)
    rule(
      "postrouting",
      "a container to its own published port",
      payload("network", 12, 8, 1),
      lookup(portSets.ownAddress.name, 1),
      masquerade,
    ),
    // A container to a published port of its own network: the answer must come back through the host.
    rule(
      "postrouting",
      "published ports, from the same network",
      ...interfacePairIn(ruleSets.same.name),
      ...wasRedirected,
      masquerade,
    ),
  ];
}

/** A process that forwards would lead packets out of an internal network that the rules for forwarded packets do not see. */
function forwardedPortRules(table: TableReference, rule: Rule): NetlinkRequest[] {
  const toForwarder = (...address: Expression[]): Expression[] => [
    ...interfaceIn("iifname", ruleSets.internal.name),
    ...address,
    meta("l4proto", 12),
    payload("transport", 2, 2, 13),
    lookup(forwardedSet.name, 1),
    drop,
  ];
  const everyAddress = constant(1, new Uint8Array(16));
  return [
    addChain(table, "input", { type: "filter", hook: "input", priority: priority.filter, policy: "accept" }),
    rule("input", "internal networks: no port of one address", ...toForwarder(payload("network", 24, 16, 1))),
    rule("input", "internal networks: no port of every address", ...toForwarder(everyAddress)),
  ];
}

/** Its presence tells a later start that this engine turned forwarding on. */
export const guardChainName = "guard";

/** Bridges, also those of other engines, forward without a limit: the owner of a bridge wants this. */
function guardChain(table: TableReference): NetlinkRequest[] {
  const reason = "forwarding was turned on for containers alone";
  return [
    addChain(table, guardChainName, {
      type: "filter",
      hook: "forward",
      priority: priority.filter + 1,
      policy: "accept",
    }),
    addRule(table, guardChainName, [...interfaceKind("iifkind", "bridge"), accept], "from a bridge"),
    addRule(table, guardChainName, [...interfaceKind("oifkind", "bridge"), accept], "to a bridge"),
    addRule(table, guardChainName, [drop], reason),
  ];
}
