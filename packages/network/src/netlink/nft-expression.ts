/**
 * Expressions of nf_tables rules (linux/netfilter/nf_tables.h): the instructions that run for a packet. Registers have the numbers that nft
 * prints: 1–4 have 16 bytes each; 8–23 are the same memory in words of 4 bytes, so 1 starts at 8, and 2 at 12.
 */
import { PayloadWriter } from "./message.ts";

export type Expression = (writer: PayloadWriter) => void;

const NF_INET_FAMILY = { ipv4: 2, ipv6: 10 } as const;

const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;

function expression(name: string, content: (writer: PayloadWriter) => void): Expression {
  return (writer) =>
    writer.nest(NFTA_LIST_ELEM, (element) =>
      element.attributeText(NFTA_EXPR_NAME, name).nest(NFTA_EXPR_DATA, (data) => content(data)),
    );
}

const metaKeys = { iifname: 6, oifname: 7, l4proto: 16, iifkind: 26, oifkind: 27 } as const;
export type MetaKey = keyof typeof metaKeys;

export function meta(key: MetaKey, register: number): Expression {
  return expression("meta", (data) => data.attributeU32be(2, metaKeys[key]).attributeU32be(1, register));
}

/** Bytes of the packet: `base` "network" is the IP header, "transport" the header after it. */
export function payload(base: "network" | "transport", offset: number, length: number, register: number): Expression {
  return expression("payload", (data) =>
    data
      .attributeU32be(1, register)
      .attributeU32be(2, base === "network" ? 1 : 2)
      .attributeU32be(3, offset)
      .attributeU32be(4, length),
  );
}

/**
 * The reverse: writes a register into the packet. `checksumOffset` is the place of the checksum in the same header (one's complement, as in IPv4,
 * TCP and UDP), which follows the change.
 */
export function setPayload(
  base: "network" | "transport",
  offset: number,
  length: number,
  register: number,
  checksumOffset: number,
): Expression {
  return expression("payload", (data) =>
    data
      .attributeU32be(5, register)
      .attributeU32be(2, base === "network" ? 1 : 2)
      .attributeU32be(3, offset)
      .attributeU32be(4, length)
      .attributeU32be(6, 1)
      .attributeU32be(7, checksumOffset),
  );
}

/** A value for a register. */
export function constant(register: number, value: Uint8Array): Expression {
  return expression("immediate", (data) =>
    data.attributeU32be(1, register).nest(2, (nested) => nested.attribute(NFTA_DATA_VALUE, value)),
  );
}

export function compare(register: number, operator: "equal" | "not-equal", value: Uint8Array): Expression {
  return expression("cmp", (data) =>
    data
      .attributeU32be(1, register)
      .attributeU32be(2, operator === "equal" ? 0 : 1)
      .nest(3, (nested) => nested.attribute(NFTA_DATA_VALUE, value)),
  );
}

/** register = register & mask. */
export function mask(register: number, bits: Uint8Array): Expression {
  return expression("bitwise", (data) =>
    data
      .attributeU32be(1, register)
      .attributeU32be(2, register)
      .attributeU32be(3, bits.length)
      .nest(4, (nested) => nested.attribute(NFTA_DATA_VALUE, bits))
      .nest(5, (nested) => nested.attribute(NFTA_DATA_VALUE, new Uint8Array(bits.length))),
  );
}

const ctKeys = { state: 0, status: 2 } as const;
export function conntrack(key: keyof typeof ctKeys, register: number): Expression {
  return expression("ct", (data) => data.attributeU32be(2, ctKeys[key]).attributeU32be(1, register));
}

/** The kind of route of an address, RTN_* (RTN_LOCAL is 2): is it an address of this host? */
function fibAddressType(of: "source" | "destination", register: number): Expression {
  return expression("fib", (data) =>
    data
      .attributeU32be(3, of === "source" ? 1 : 2)
      .attributeU32be(2, 3)
      .attributeU32be(1, register),
  );
}

/** Continues only when the key in `register` is in the set; with `inverted`, when it is not. With `resultRegister`, a map's value is read. */
export function lookup(
  set: string,
  register: number,
  options: { readonly resultRegister?: number; readonly inverted?: boolean } = {},
): Expression {
  return expression("lookup", (data) => {
    data.attributeU32be(2, register);
    if (options.resultRegister !== undefined) data.attributeU32be(3, options.resultRegister);
    data.attributeText(1, set);
    if (options.inverted) data.attributeU32be(5, 1);
  });
}

export type Verdict =
  | { readonly kind: "accept" | "drop" | "return" }
  | { readonly kind: "jump" | "goto"; readonly chain: string };

const verdictCodes = { drop: 0, accept: 1, jump: 0xfffffffd, goto: 0xfffffffc, return: 0xfffffffb } as const;

export function verdict(verdict: Verdict): Expression {
  return expression("immediate", (data) =>
    data.attributeU32be(1, 0).nest(2, (value) =>
      value.nest(NFTA_DATA_VERDICT, (nested) => {
        nested.attributeU32be(NFTA_VERDICT_CODE, verdictCodes[verdict.kind]);
        if ("chain" in verdict) nested.attributeText(NFTA_VERDICT_CHAIN, verdict.chain);
      }),
    ),
  );
}

/** Destination NAT to the address and port in two registers. */
export function destinationNat(addressRegister: number, portRegister: number): Expression {
  return expression("nat", (data) =>
    data
      .attributeU32be(1, 1)
      .attributeU32be(2, NF_INET_FAMILY.ipv4)
      .attributeU32be(3, addressRegister)
      .attributeU32be(5, portRegister),
  );
}

/** Source NAT to the address of the interface through which the packet leaves. */
export const masquerade: Expression = expression("masq", () => undefined);

/** Counts packets and bytes, shown by `nft list`. */
export const counter: Expression = expression("counter", () => undefined);

// Short sequences that rules are made of.

/** ct state established or related. */
export const establishedOrRelated: readonly Expression[] = [
  conntrack("state", 1),
  mask(1, Uint8Array.of(0x06, 0, 0, 0)),
  compare(1, "not-equal", new Uint8Array(4)),
];

/** The connection was redirected by destination NAT. */
export const wasRedirected: readonly Expression[] = [
  conntrack("status", 1),
  mask(1, Uint8Array.of(0x20, 0, 0, 0)),
  compare(1, "not-equal", new Uint8Array(4)),
];

/** The packet's source or destination is an address of this host. */
export function isHostAddress(of: "source" | "destination"): readonly Expression[] {
  return [fibAddressType(of, 1), compare(1, "equal", Uint8Array.of(2, 0, 0, 0))];
}

/** The source or destination is in 127.0.0.0/8. */
export function isLoopbackAddress(of: "source" | "destination"): readonly Expression[] {
  return [
    // Only the first byte of the address.
    payload("network", of === "source" ? 12 : 16, 1, 1),
    compare(1, "equal", Uint8Array.of(127)),
  ];
}

export function interfaceIn(direction: "iifname" | "oifname", set: string, inverted = false): readonly Expression[] {
  return [meta(direction, 1), lookup(set, 1, { inverted })];
}

/** The interface is of this kind ("bridge"); hardware has none. */
export function interfaceKind(direction: "iifkind" | "oifkind", kind: string): readonly Expression[] {
  const value = new Uint8Array(16);
  value.set(new TextEncoder().encode(kind));
  return [meta(direction, 1), compare(1, "equal", value)];
}

/** The pair of incoming and outgoing interface is in a set of pairs. */
export function interfacePairIn(set: string, inverted = false): readonly Expression[] {
  return [meta("iifname", 1), meta("oifname", 2), lookup(set, 1, { inverted })];
}
