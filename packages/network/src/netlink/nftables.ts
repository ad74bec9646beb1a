/** nf_tables over nfnetlink: tables, chains, sets, maps, their elements and rules, as messages of one atomic batch. */
import type { NetlinkRequest } from "./connection.ts";
import {
  decodeAttributes,
  NLM_F_APPEND,
  NLM_F_CREATE,
  PayloadWriter,
  readText,
  readU32be,
  type NetlinkMessage,
  type ReceivedNetlinkMessage,
} from "./message.ts";
import type { Expression } from "./nft-expression.ts";
import { NLM_F_DUMP } from "@fathom/sys";

const subsystem = 10;
const type = (message: number): number => (subsystem << 8) | message;
const NFT_MSG_NEWTABLE = type(0);
const NFT_MSG_GETTABLE = type(1);
const NFT_MSG_DELTABLE = type(2);
const NFT_MSG_NEWCHAIN = type(3);
const NFT_MSG_GETCHAIN = type(4);
const NFT_MSG_NEWRULE = type(6);
const NFT_MSG_DELRULE = type(8);
const NFT_MSG_NEWSET = type(9);
const NFT_MSG_NEWSETELEM = type(12);
const NFT_MSG_DELSETELEM = type(14);

export const NFPROTO_IPV4 = 2;
export const NFPROTO_IPV6 = 10;

const NFTA_LIST_ELEM = 1;

const NFT_SET_MAP = 0x8;

/** nft's numbers for types of keys. The kernel only stores them; `nft list` prints with them. */
const keyTypes = {
  ipv4_addr: { number: 7, length: 4 },
  ipv6_addr: { number: 8, length: 16 },
  inet_proto: { number: 12, length: 1 },
  inet_service: { number: 13, length: 2 },
  ifname: { number: 41, length: 16 },
} as const;
export type KeyType = keyof typeof keyTypes;

export interface TableReference {
  readonly family: number;
  readonly name: string;
}

function header(family: number, resource = 0): PayloadWriter {
  return new PayloadWriter().u8(family).u8(0).u16be(resource);
}

export const batchBegin: NetlinkMessage = { type: 0x10, flags: 0, payload: header(0, subsystem).finish() };
export const batchEnd: NetlinkMessage = { type: 0x11, flags: 0, payload: header(0, subsystem).finish() };

export function addTable(table: TableReference): NetlinkRequest {
  return {
    type: NFT_MSG_NEWTABLE,
    flags: NLM_F_CREATE,
    payload: header(table.family).attributeText(1, table.name).attributeU32be(2, 0).finish(),
    action: `add nf_tables table ${table.name}`,
  };
}

export function getTable(table: TableReference): NetlinkRequest {
  return {
    type: NFT_MSG_GETTABLE,
    flags: 0,
    payload: header(table.family).attributeText(1, table.name).finish(),
    action: `look up nf_tables table ${table.name}`,
  };
}

/** With everything in it. */
export function deleteTable(table: TableReference): NetlinkRequest {
  return {
    type: NFT_MSG_DELTABLE,
    flags: 0,
    payload: header(table.family).attributeText(1, table.name).finish(),
    action: `delete nf_tables table ${table.name}`,
  };
}

export const hooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;

export interface BaseChain {
  readonly type: "filter" | "nat";
  readonly hook: keyof typeof hooks;
  /** Chains of one hook run in ascending order. */
  readonly priority: number;
  readonly policy: "accept" | "drop";
}

export function addChain(table: TableReference, name: string, base?: BaseChain): NetlinkRequest {
  const writer = header(table.family).attributeText(1, table.name).attributeText(3, name);
  if (base !== undefined)
    writer
      .attributeText(7, base.type)
      .attributeU32be(5, base.policy === "accept" ? 1 : 0)
      .nest(4, (hook) => hook.attributeU32be(1, hooks[base.hook]).attributeU32be(2, base.priority >>> 0));
  return {
    type: NFT_MSG_NEWCHAIN,
    flags: NLM_F_CREATE,
    payload: writer.finish(),
    action: `add nf_tables chain ${name}`,
  };
}

/** All chains of a family, of every owner. */
export function dumpChains(family: number): NetlinkRequest {
  return {
    type: NFT_MSG_GETCHAIN,
    flags: NLM_F_DUMP,
    payload: header(family).finish(),
    action: "list nf_tables chains",
  };
}

export interface HookedChain {
  readonly table: string;
  readonly name: string;
  readonly hook: number;
  readonly policy: "accept" | "drop";
}

/** The base chains of a dump. */
export function decodeHookedChains(messages: readonly ReceivedNetlinkMessage[]): HookedChain[] {
  return messages.flatMap((message) => {
    if (message.type !== NFT_MSG_NEWCHAIN) return [];
    const attributes = decodeAttributes(message.payload.subarray(4));
    const hook = attributes.get(4);
    if (hook === undefined) return [];
    return [
      {
        table: readText(attributes.get(1)) ?? "",
        name: readText(attributes.get(3)) ?? "",
        hook: readU32be(decodeAttributes(hook).get(1)) ?? -1,
        policy: readU32be(attributes.get(5)) === 0 ? "drop" : "accept",
      },
    ];
  });
}

/** A rule at the end of a chain. `comment` is shown by `nft list` (at most 127 bytes). */
export function addRule(
  table: TableReference,
  chain: string,
  expressions: readonly Expression[],
  comment: string,
): NetlinkRequest {
  const text = new TextEncoder().encode(`${comment}\0`);
  const writer = header(table.family)
    .attributeText(1, table.name)
    .attributeText(2, chain)
    .nest(4, (list) => expressions.forEach((expression) => expression(list)))
    // nft's own form of a comment: type 0, length, text with NUL.
    .attribute(7, Uint8Array.of(0, text.length, ...text));
  return {
    type: NFT_MSG_NEWRULE,
    flags: NLM_F_CREATE | NLM_F_APPEND,
    payload: writer.finish(),
    action: `add an nf_tables rule to chain ${chain} (${comment})`,
  };
}

/** All rules of a chain, which stays. */
export function deleteRules(table: TableReference, chain: string): NetlinkRequest {
  return {
    type: NFT_MSG_DELRULE,
    flags: 0,
    payload: header(table.family).attributeText(1, table.name).attributeText(2, chain).finish(),
    action: `delete the rules of nf_tables chain ${chain}`,
  };
}

export interface SetDefinition {
  readonly name: string;
  /** Fields of the key, in order. */
  readonly key: readonly KeyType[];
  /** Fields of the value; with them the set is a map. */
  readonly value?: readonly KeyType[];
}

const padded = (length: number): number => (length + 3) & ~3;
const concatenatedLength = (fields: readonly KeyType[]): number =>
  fields.length === 1
    ? keyTypes[fields[0]!].length
    : fields.reduce((sum, field) => sum + padded(keyTypes[field].length), 0);
const concatenatedType = (fields: readonly KeyType[]): number =>
  fields.reduce((number, field) => (number << 6) | keyTypes[field].number, 0);

/** `id` is a number that the caller chooses for the batch. */
export function addSet(table: TableReference, set: SetDefinition, id: number): NetlinkRequest {
  const writer = header(table.family)
    .attributeText(1, table.name)
    .attributeText(2, set.name)
    .attributeU32be(3, set.value === undefined ? 0 : NFT_SET_MAP)
    .attributeU32be(4, concatenatedType(set.key))
    .attributeU32be(5, concatenatedLength(set.key));
  if (set.value !== undefined)
    writer.attributeU32be(6, concatenatedType(set.value)).attributeU32be(7, concatenatedLength(set.value));
  writer.attributeU32be(10, id);
  // Only for `nft list`: a key that is no number in network order is marked (type 0, length 4, 1 for host order).
  if (set.key.length === 1 && set.key[0] === "ifname") writer.attribute(13, Uint8Array.of(0, 4, 1, 0, 0, 0));
  return {
    type: NFT_MSG_NEWSET,
    flags: NLM_F_CREATE,
    payload: writer.finish(),
    action: `add nf_tables set ${set.name}`,
  };
}

export interface SetElement {
  /** Bytes of the key; with several fields, each is padded to four. */
  readonly key: Uint8Array;
  readonly value?: Uint8Array;
}

/** Elements of one message: an attribute contains at most 64 KiB. */
const elementsPerMessage = 500;

function elementMessages(
  messageType: number,
  flags: number,
  table: TableReference,
  set: string,
  elements: readonly SetElement[],
  action: string,
): NetlinkRequest[] {
  const requests: NetlinkRequest[] = [];
  for (let at = 0; at < elements.length; at += elementsPerMessage) {
    const writer = header(table.family)
      .attributeText(1, table.name)
      .attributeText(2, set)
      .nest(3, (list) => {
        for (const element of elements.slice(at, at + elementsPerMessage))
          list.nest(NFTA_LIST_ELEM, (item) => {
            item.nest(1, (key) => key.attribute(1, element.key));
            const { value } = element;
            if (value !== undefined) item.nest(2, (data) => data.attribute(1, value));
          });
      });
    requests.push({ type: messageType, flags, payload: writer.finish(), action: `${action} nf_tables set ${set}` });
  }
  return requests;
}

export function addElements(table: TableReference, set: string, elements: readonly SetElement[]): NetlinkRequest[] {
  return elementMessages(NFT_MSG_NEWSETELEM, NLM_F_CREATE, table, set, elements, "add elements to");
}

/** A deletion needs only the keys; a missing element fails the batch with ENOENT. */
export function deleteElements(table: TableReference, set: string, elements: readonly SetElement[]): NetlinkRequest[] {
  const keys = elements.map(({ key }) => ({ key }));
  return elementMessages(NFT_MSG_DELSETELEM, 0, table, set, keys, "delete elements from");
}

/** An interface name as a set's key. */
export function interfaceKey(name: string): Uint8Array {
  const key = new Uint8Array(16);
  key.set(new TextEncoder().encode(name).subarray(0, 15));
  return key;
}
