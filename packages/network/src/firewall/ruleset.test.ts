import { describe, expect, test } from "bun:test";
import { parseIpv4 } from "../ipam/ip.ts";
import { decodeAttributes, readText } from "../netlink/message.ts";
import { parseAddress } from "../ipam/prefix.ts";
import {
  forwardedPorts,
  portElements,
  publishedPorts,
  routedPorts,
  ruleTable,
  type FirewallNetwork,
  type PublishedPort,
} from "./rule-elements.ts";
import { wholeTable } from "./ruleset.ts";

const table = ruleTable("fathom");
const port = (hostIp: string, hostPort: number, protocol: PublishedPort["protocol"] = "tcp"): PublishedPort => ({
  protocol,
  hostAddress: parseIpv4(hostIp)!,
  hostPort,
  containerAddress: parseIpv4("172.17.0.2")!,
  containerPort: 80,
});
/** "set bytes" of every request about elements. */
const elements = (ports: PublishedPort[], add: boolean): string[] =>
  portElements(table, ports, add).map(({ type, payload }) => {
    const attributes = decodeAttributes(payload.subarray(4));
    return `${type === 0x0a0c ? "+" : "-"} ${readText(attributes.get(2))} ${Buffer.from(attributes.get(3)!).toString("hex")}`;
  });

describe("published ports as elements", () => {
  test("on every address: protocol and port; on one: with the address before", () => {
    expect(elements([port("0.0.0.0", 8080), port("127.0.0.1", 8081, "udp")], true)).toEqual([
      "+ published_address 28000180140001801000010" +
        "07f00000111000000" +
        "1f910000" +
        "100002800c000100" +
        "ac110002" +
        "00500000",
      "+ published_any 24000180100001800c000100" +
        "06000000" +
        "1f900000" +
        "100002800c000100" +
        "ac110002" +
        "00500000",
      "+ own_address 140001801000018" + "00c000100" + "ac110002ac110002",
    ]);
  });
  test("are removed by their keys alone; the container's own address once", () => {
    const removed = elements([port("0.0.0.0", 8080), port("0.0.0.0", 8081)], false);
    expect(removed.map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual(["- published_any", "- own_address"]);
    expect(removed[0]).not.toContain("00500000");
    expect(removed[1]!.match(/ac110002ac110002/g)).toHaveLength(1);
    expect(elements([], true)).toEqual([]);
  });
  test("IPv6 bindings have no elements: a forwarder handles them", () => {
    const bindings = [
      { protocol: "tcp", containerPort: 80, hostIp: "0.0.0.0", hostPort: 8080 },
      { protocol: "tcp", containerPort: 80, hostIp: "::", hostPort: 8080 },
    ] as const;
    expect(publishedPorts(bindings, parseIpv4("172.17.0.2")!)).toEqual([port("0.0.0.0", 8080)]);
  });
});

test("routed ports are elements of the table of their family", () => {
  const bindings = ["0.0.0.0", "::"].map((hostIp) => ({
    protocol: "udp" as const,
    containerPort: 53,
    hostIp,
    hostPort: 0,
  }));
  const addresses = [parseAddress("172.17.0.2")!, parseAddress("fd00::2")!];
  const ports = routedPorts(bindings, addresses);
  expect(publishedPorts(bindings, parseIpv4("172.17.0.2")!)).toEqual([]);
  const keys = (of: "ipv4" | "ipv6"): string[] =>
    portElements(ruleTable("fathom", of), ports, true).map(({ payload }) =>
      Buffer.from(decodeAttributes(payload.subarray(4)).get(3)!)
        .toString("hex")
        .slice(24),
    );
  expect(keys("ipv4")).toEqual(["ac110002" + "11000000" + "00350000"]);
  expect(keys("ipv6")).toEqual(["fd000000000000000000000000000002" + "11000000" + "00350000"]);
});

test("forwarded ports are elements of the table of IPv6, with the address of the host", () => {
  const ports = forwardedPorts(
    ["0.0.0.0", "::", "::1"].map((hostIp) => ({ protocol: "tcp" as const, containerPort: 80, hostIp, hostPort: 8080 })),
  );
  const keys = (of: "ipv4" | "ipv6"): string[] =>
    portElements(ruleTable("fathom", of), ports, true).map(({ payload }) =>
      Buffer.from(decodeAttributes(payload.subarray(4)).get(3)!).toString("hex"),
    );
  expect(keys("ipv4")).toEqual([]);
  expect(keys("ipv6").join()).toContain(`${"00".repeat(16)}06000000` + "1f900000");
  expect(keys("ipv6").join()).toContain(`${"00".repeat(15)}0106000000` + "1f900000");
});

describe("the whole table", () => {
  const usual = { masquerade: true, unprotected: false };
  const network: FirewallNetwork = {
    bridge: "fathom0",
    interContainer: true,
    internal: false,
    families: { ipv4: usual },
  };
  const actions = (networks: FirewallNetwork[], guarded = false, of = table): string[] =>
    wholeTable(of, networks, [], guarded).map(({ action }) => action);

  test("replaces the old one in the same batch", () => {
    expect(actions([]).slice(0, 3)).toEqual([
      "add nf_tables table fathom",
      "delete nf_tables table fathom",
      "add nf_tables table fathom",
    ]);
  });
  test("its rules are the same for any networks", () => {
    const rules = (list: string[]): string[] => list.filter((action) => action.includes("rule"));
    const some = actions([network, { ...network, bridge: "other0", interContainer: false, internal: true }]);
    expect(rules(some)).toEqual(rules(actions([])));
    expect(some.filter((action) => action.startsWith("add elements"))).toEqual(
      ["bridges", "same_network", "inter_container", "masqueraded", "internal"].map(
        (set) => `add elements to nf_tables set ${set}`,
      ),
    );
  });
  test("has a guard only when the engine turned forwarding on", () => {
    expect(actions([network]).join()).not.toContain("guard");
    expect(actions([network], true).join()).toContain("add nf_tables chain guard");
  });
  test("of IPv6 has the networks of that family, and no published ports", () => {
    const open = { ...network, bridge: "six0", families: { ipv6: { masquerade: false, unprotected: true } } };
    const six = actions([network, open], false, ruleTable("fathom", "ipv6"));
    expect(six.filter((action) => action.startsWith("add elements"))).toEqual(
      ["bridges", "same_network", "inter_container", "unprotected"].map(
        (set) => `add elements to nf_tables set ${set}`,
      ),
    );
    for (const part of ["published_", "chain published", "chain prerouting", "own_address"])
      expect(six.join()).not.toContain(part);
    const [, , , , ...rest] = wholeTable(ruleTable("fathom", "ipv6"), [network], [], false);
    expect(rest.every(({ payload }) => payload[0] === 10)).toBe(true);
  });
});
