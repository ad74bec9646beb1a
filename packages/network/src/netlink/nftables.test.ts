import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { listAttributes } from "./message.ts";
import {
  counter,
  destinationNat,
  establishedOrRelated,
  interfaceIn,
  interfacePairIn,
  isHostAddress,
  isLoopbackAddress,
  lookup,
  masquerade,
  meta,
  payload,
  verdict,
  wasRedirected,
} from "./nft-expression.ts";
import {
  addChain,
  addElements,
  addRule,
  addSet,
  addTable,
  batchBegin,
  batchEnd,
  decodeHookedChains,
  deleteElements,
  interfaceKey,
} from "./nftables.ts";

/**
 * Attributes as text, nested ones in braces (NLA_F_NESTED shows which). What nft adds for itself is left out: ids of sets in look-ups and
 * elements (the kernel finds them by name), and user data of sets.
 */
function describeAttributes(bytes: Uint8Array, path = ""): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: string[] = [];
  let at = 0;
  for (const [type, value] of listAttributes(bytes)) {
    const nested = (view.getUint16(at + 2, true) & 0x8000) !== 0;
    at += (value.length + 4 + 3) & ~3;
    const here = `${path}/${type}`;
    if (ignored.some((pattern) => pattern.test(here))) continue;
    parts.push(`${type}=${nested ? `{${describeAttributes(value, here)}}` : Buffer.from(value).toString("hex")}`);
  }
  return parts.join(" ");
}
let ignored: RegExp[] = [];
const describeMessage = (type: number, bytes: Uint8Array): string => {
  if (type === 0x0a09) ignored = [/^\/13$/];
  else if (type === 0x0a0c || type === 0x0a0e) ignored = [/^\/4$/];
  // In a rule: its comment, and the set's id of a look-up (the fourth attribute when the third is a name; in data the fourth is something
  // else).
  else if (type === 0x0a06) ignored = [/^\/7$/];
  else ignored = [];
  return `${type.toString(16)} ${Buffer.from(bytes.subarray(0, 4)).toString("hex")} ${describeAttributes(bytes.subarray(4))}`;
};
/** `lookup` is "6c6f6f6b757000"; its attribute 4 is the set's id. */
const withoutSetIds = (text: string): string => text.replace(/(1=6c6f6f6b757000 2=\{[^}]*?) 4=[0-9a-f]{8}/g, "$1");

const table = { family: 2, name: "fathomx" };
const registers = { address: 1, port: 9 };

const ours = [
  batchBegin,
  addTable(table),
  addChain(table, "publish"),
  addChain(table, "prerouting", { type: "nat", hook: "prerouting", priority: -100, policy: "accept" }),
  addChain(table, "postrouting", { type: "nat", hook: "postrouting", priority: 100, policy: "accept" }),
  addChain(table, "forward", { type: "filter", hook: "forward", priority: 0, policy: "drop" }),
  addSet(
    table,
    { name: "publish_address", key: ["ipv4_addr", "inet_proto", "inet_service"], value: ["ipv4_addr", "inet_service"] },
    1,
  ),
  addSet(table, { name: "publish_any", key: ["inet_proto", "inet_service"], value: ["ipv4_addr", "inet_service"] }, 2),
  addSet(table, { name: "bridges", key: ["ifname"] }, 3),
  ...addElements(table, "bridges", [{ key: interfaceKey("fathom0") }]),
  addSet(table, { name: "bridge_pairs", key: ["ifname", "ifname"] }, 4),
  addRule(
    table,
    "publish",
    [
      payload("network", 16, 4, 1),
      meta("l4proto", 9),
      payload("transport", 2, 2, 10),
      lookup("publish_address", 1, { resultRegister: 1 }),
      destinationNat(registers.address, registers.port),
    ],
    "hello",
  ),
  addRule(
    table,
    "publish",
    [
      meta("l4proto", 1),
      payload("transport", 2, 2, 9),
      lookup("publish_any", 1, { resultRegister: 1 }),
      destinationNat(registers.address, registers.port),
    ],
    "",
  ),
  addRule(table, "prerouting", [...isLoopbackAddress("destination"), verdict({ kind: "return" })], ""),
  addRule(table, "prerouting", [...isHostAddress("destination"), verdict({ kind: "jump", chain: "publish" })], ""),
  addRule(table, "postrouting", [...isLoopbackAddress("source"), ...interfaceIn("oifname", "bridges"), masquerade], ""),
  addRule(table, "postrouting", [...interfacePairIn("bridge_pairs"), ...wasRedirected, masquerade], ""),
  addRule(
    table,
    "postrouting",
    [...interfaceIn("iifname", "bridges"), ...interfacePairIn("bridge_pairs", true), masquerade],
    "",
  ),
  addRule(table, "forward", [...establishedOrRelated, verdict({ kind: "accept" })], ""),
  addRule(table, "forward", [...interfaceIn("oifname", "bridges"), verdict({ kind: "drop" })], ""),
  addRule(table, "forward", [counter, verdict({ kind: "accept" })], ""),
  // tcp . 80 : 172.17.0.2 . 8080
  ...addElements(table, "publish_any", [
    { key: Uint8Array.of(6, 0, 0, 0, 0, 80, 0, 0), value: Uint8Array.of(172, 17, 0, 2, 31, 144, 0, 0) },
  ]),
  ...deleteElements(table, "publish_any", [{ key: Uint8Array.of(6, 0, 0, 0, 0, 80, 0, 0), value: new Uint8Array(8) }]),
  batchEnd,
];

describe("nf_tables messages", async () => {
  const golden = (await Bun.file(join(import.meta.dir, "nft-golden.txt")).text())
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(" "));

  test("there are as many messages as nft sends", () => expect(ours.length).toBe(golden.length));

  golden.forEach(([type, flags, bytes], index) => {
    test(`message ${index} is nft's: type ${type}`, () => {
      const message = ours[index]!;
      const number = Number.parseInt(type!, 16);
      expect(message.type).toBe(number);
      // nft sets NLM_F_CREATE of a table only for `create`.
      if (number !== 0x0a00) expect(message.flags | 1).toBe(Number.parseInt(flags!, 16));
      expect(withoutSetIds(describeMessage(message.type, message.payload))).toBe(
        withoutSetIds(describeMessage(number, new Uint8Array(Buffer.from(bytes!, "hex")))),
      );
    });
  });

  test("a comment is nft's user data", () => {
    const rule = addRule(table, "publish", [verdict({ kind: "drop" })], "hello");
    expect(Buffer.from(rule.payload).toString("hex")).toEndWith("0c000700000668656c6c6f00");
  });

  test("many elements are split into messages that fit", () => {
    const elements = Array.from({ length: 1201 }, (_, index) => ({
      key: Uint8Array.of(6, 0, 0, 0, index >> 8, index & 255, 0, 0),
      value: new Uint8Array(8),
    }));
    const requests = addElements(table, "publish_any", elements);
    expect(requests.length).toBe(3);
    for (const request of requests) expect(request.payload.length).toBeLessThan(0xffff);
    expect(addElements(table, "publish_any", [])).toEqual([]);
  });

  test("base chains of a dump are read, others are ignored", () => {
    const chain = addChain(table, "forward", { type: "filter", hook: "forward", priority: 0, policy: "drop" });
    const plain = addChain(table, "publish");
    const received = [chain, plain, batchEnd].map((message) => ({ ...message, sequence: 1 }));
    expect(decodeHookedChains(received)).toEqual([{ table: "fathomx", name: "forward", hook: 2, policy: "drop" }]);
  });
});
