import { describe, expect, test } from "bun:test";
import { freeInterfaceName, gatewayOf, portsOwner } from "./gateway.ts";

const endpoint = (
  networkName: string,
  gatewayPriority = 0,
  gateways: { ipv4?: string; ipv6?: string } = { ipv4: "10.0.0.1" },
) => ({
  networkName,
  gatewayPriority,
  gateways,
});
const six = { ipv6: "fd00::1" };
const both = { ipv4: "10.0.0.1", ...six };

describe("which endpoint leads outside", () => {
  test.each([
    ["the name decides, not the order", [endpoint("b"), endpoint("a")], "a"],
    ["the priority before the name", [endpoint("a"), endpoint("b", 1)], "b"],
    ["a negative priority comes last", [endpoint("a", -1), endpoint("b")], "b"],
    ["both families before one", [endpoint("a"), endpoint("b", 0, both)], "b"],
    ["the priority before both families", [endpoint("a", 1), endpoint("b", 0, both)], "a"],
    ["one without a gateway never", [endpoint("a", 9, {}), endpoint("b")], "b"],
    ["one of the other family alone never", [endpoint("a", 9, six), endpoint("b")], "b"],
    ["none", [endpoint("a", 0, {})], undefined],
  ])("%s", (_rule, endpoints, expected) => {
    expect(gatewayOf(endpoints, "ipv4")?.networkName).toBe(expected!);
    expect(gatewayOf(endpoints.toReversed(), "ipv4")?.networkName).toBe(expected!);
  });
  test("ports follow IPv4, and IPv6 when nothing else leads outside", () => {
    expect(portsOwner([endpoint("a", 9, six), endpoint("b")])?.networkName).toBe("b");
    expect(portsOwner([endpoint("a", 9, six), endpoint("b", 0, {})])?.networkName).toBe("a");
    expect(portsOwner([])).toBeUndefined();
  });
});

test("the lowest free interface name", () => {
  expect(freeInterfaceName([])).toBe("eth0");
  expect(freeInterfaceName(["eth1", "eth0", "eth3"])).toBe("eth2");
});
