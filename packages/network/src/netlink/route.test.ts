/** Payloads compared with those that iproute2 6.1 sent (strace -e write=all) for the named command. */
import { describe, expect, test } from "bun:test";
import { parseMac } from "../ipam/ip.ts";
import { parseAddress } from "../ipam/prefix.ts";
import { listAttributes, PayloadWriter, readText, readU32 } from "./message.ts";
import { changeLink, createBridge, createMacvlan, createVethPair, deleteLink, dumpLinks, getLink } from "./link.ts";
import { addAddress, addDefaultRoute } from "./route.ts";
import { decodeAddresses, decodeLinks, decodeRoutes } from "./route-decode.ts";

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex"));

/** Header and attributes in the order of their types: `ip` and this code write them in different orders, which makes no difference for the kernel. */
function view(payload: Uint8Array, headerLength: number): string[] {
  const attributes = listAttributes(payload.subarray(headerLength)).map(
    ([type, value]) => `${type}: ${Buffer.from(value).toString("hex")}`,
  );
  return [Buffer.from(payload.subarray(0, headerLength)).toString("hex"), ...attributes.sort()];
}

const mac = parseMac("02:42:ac:11:00:02")!;
const gateway = parseAddress("172.17.0.1")!;

describe("links", () => {
  test("ip link set vetha up", () => {
    expect(view(changeLink(7, { up: true }).payload, 16)).toEqual(
      view(bytes("00000000 07000000 01000000 01000000"), 16),
    );
  });
  test("ip link set vetha master br0", () => {
    const golden = bytes("00000000070000000000000000000000 08000a0006000000");
    expect(view(changeLink(7, { masterIndex: 6 }).payload, 16)).toEqual(view(golden, 16));
  });
  test("ip link set vetha addrgenmode none", () => {
    const golden = bytes("00000000070000000000000000000000 10001a000c000a000500080001000000");
    expect(view(changeLink(7, { noIpv6LinkLocal: true }).payload, 16)).toEqual(view(golden, 16));
  });
  test("ip link set vetha type bridge_slave hairpin on isolated on: the same data", () => {
    const ours = changeLink(7, { bridgePort: { hairpin: true, isolated: true } }).payload;
    const [, info] = listAttributes(ours.subarray(16))[0]!;
    const [kind, data] = listAttributes(info);
    expect(readText(kind![1])).toBe("bridge");
    expect(Buffer.from(data![1]).toString("hex")).toBe("05000400010000000500210001000000");
  });
  test("ip link del vetha; by name the name is given", () => {
    expect(view(deleteLink(7).payload, 16)).toEqual(view(bytes("00000000070000000000000000000000"), 16));
    expect(readText(listAttributes(getLink("vetha").payload.subarray(16))[0]![1])).toBe("vetha");
  });
  test("a bridge with its MAC and MTU", () => {
    const [header, ...attributes] = view(
      createBridge({ name: "br0", mac: parseMac("02:00:00:00:00:01")!, mtu: 1400 }).payload,
      16,
    );
    expect(header).toBe("0".repeat(32));
    expect(attributes).toEqual(
      ["18: 0b00010062726964676500", "1: 020000000001", "3: 62723000", "4: 78050000"].map(pad).sort(),
    );
  });
  test("a veth pair whose peer starts in another namespace", () => {
    const payload = createVethPair({
      name: "vetha",
      mtu: 1400,
      masterIndex: 6,
      peer: { name: "eth0", namespaceFd: 4, mac },
    }).payload;
    const top = new Map(listAttributes(payload.subarray(16)));
    expect(readText(top.get(3))).toBe("vetha");
    const [kind, data] = listAttributes(top.get(18)!);
    expect(readText(kind![1])).toBe("veth");
    const [[type, peer]] = listAttributes(data![1]) as [[number, Uint8Array]];
    expect(type).toBe(1);
    // ip link add name vetha mtu 1400 type veth peer name eth0 address 02:42:ac:11:00:02 mtu 1400 netns 4
    const golden = bytes(
      "00000000000000000000000000000000 0a0001000242ac1100020000 0800040078050000 08001c0004000000 090003006574683000000000",
    );
    expect(view(peer, 16)).toEqual(view(golden, 16));
  });
  test("ip link add eth0 link out0 netns 4 type macvlan mode bridge", () => {
    const payload = createMacvlan({ name: "eth0", parentIndex: 6, mode: "bridge", namespaceFd: 4 }).payload;
    const top = new Map(listAttributes(payload.subarray(16)));
    expect([readText(top.get(3)), readU32(top.get(5)), readU32(top.get(28))]).toEqual(["eth0", 6, 4]);
    const [kind, data] = listAttributes(top.get(18)!);
    expect(readText(kind![1])).toBe("macvlan");
    expect(listAttributes(data![1])).toEqual([[1, Uint8Array.of(4, 0, 0, 0)]]);
  });
  test("the ports of one bridge are requested by their master", () => {
    expect(view(dumpLinks(6).payload, 16)).toEqual(["0".repeat(32), "10: 06000000"]);
    expect(dumpLinks().flags & 0x300).toBe(0x300);
  });
});

/** The kind in link info is padded to four bytes. */
const pad = (text: string): string => (text.startsWith("18: ") ? `${text}00` : text);

describe("addresses and routes", () => {
  test("ip addr add 172.17.0.2/16 broadcast 172.17.255.255 dev br0", () => {
    const assignment = {
      linkIndex: 6,
      address: parseAddress("172.17.0.2")!,
      prefixLength: 16,
    };
    const golden = bytes("0210000006000000 08000200ac110002 08000400ac11ffff 08000100ac110002");
    expect(view(addAddress(assignment).payload, 8)).toEqual(view(golden, 8));
  });
  test("ip -6 addr add fd00:5a::80/64 dev br0 nodad", () => {
    const assignment = { linkIndex: 6, address: parseAddress("fd00:5a::80")!, prefixLength: 64 };
    const address = "fd00005a000000000000000000000080";
    expect(view(addAddress(assignment).payload, 8)).toEqual(
      view(bytes(`0a40020006000000 14000200${address} 14000100${address}`), 8),
    );
  });
  test("ip -6 route add default via fd00:5a::1 dev br0", () => {
    const golden = bytes("0a000000fe03000100000000 14000500fd00005a000000000000000000000001 0800040006000000");
    expect(view(addDefaultRoute(6, parseAddress("fd00:5a::1")!).payload, 12)).toEqual(view(golden, 12));
  });
  test("ip route add default via 172.17.0.1 dev br0", () => {
    const golden = bytes("02000000fe03000100000000 08000500ac110001 0800040006000000");
    expect(view(addDefaultRoute(6, gateway).payload, 12)).toEqual(view(golden, 12));
  });
});

describe("dumps", () => {
  const message = (type: number, payload: Uint8Array) => ({ type, flags: 0, sequence: 1, payload });

  test("links", () => {
    const payload = new PayloadWriter()
      .u32(0)
      .u32(7)
      .u32(0x1043)
      .u32(0)
      .attributeText(3, "vetha")
      .attribute(1, mac)
      .attributeU32(4, 1400)
      .attributeU32(10, 6)
      .attributeU32(5, 2)
      .nest(18, (info) => info.attributeText(1, "veth"), false)
      .finish();
    expect(decodeLinks([message(16, payload), message(3, new Uint8Array())])).toEqual([
      {
        index: 7,
        name: "vetha",
        up: true,
        mac: "02:42:ac:11:00:02",
        mtu: 1400,
        masterIndex: 6,
        peerIndex: 2,
        kind: "veth",
      },
    ]);
  });
  test("addresses: the interface's own, not a peer's", () => {
    const payload = bytes("0210000006000000 08000200ac110002 080001000a000001");
    const local = bytes("0a4000fd06000000 14000100fe800000000000000000000000000001");
    expect(decodeAddresses([message(20, payload), message(20, local), message(20, bytes("0a40000006000000"))])).toEqual(
      [
        { linkIndex: 6, address: parseAddress("172.17.0.2")!, prefixLength: 16, linkLocal: false },
        { linkIndex: 6, address: parseAddress("fe80::1")!, prefixLength: 64, linkLocal: true },
      ],
    );
  });
  test("routes: unicast ones, the default as 0.0.0.0/0", () => {
    const route = bytes("02000000fe03000100000000 08000500ac110001 0800040006000000 0800060064000000");
    const local = bytes("02200000ff02fe0200000000 08000100ac110001 0800040006000000");
    expect(decodeRoutes([message(24, route), message(24, local)])).toEqual([
      {
        destination: { family: "ipv4", value: 0n, bits: 0 },
        linkIndex: 6,
        gateway,
        metric: 100,
        table: 254,
      },
    ]);
  });
});
