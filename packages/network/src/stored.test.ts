import { describe, expect, test } from "bun:test";
import type { Endpoint, NetworkInfo } from "./contract.ts";
import { readEndpoint, readNetwork } from "./stored.ts";

const ports = [{ protocol: "tcp", containerPort: 80, hostIp: "0.0.0.0", hostPort: 8080 }] as const;
const common = {
  endpointId: "e",
  networkId: "n",
  containerId: "c",
  interfaceName: "eth0",
  hostInterface: "veth1234567",
  macAddress: "02:42:ac:11:00:02",
  ports,
};
const endpoint: Endpoint = {
  ...common,
  networkName: "bridge",
  addresses: [{ family: "ipv4", address: "172.17.0.2", prefixLength: 16 }],
  gateways: { ipv4: "172.17.0.1" },
  gatewayPriority: 0,
  names: [],
};
const network: NetworkInfo = {
  id: "n",
  name: "bridge",
  driver: "bridge",
  createdAt: "2026-01-01T00:00:00Z",
  builtin: true,
  internal: false,
  families: ["ipv4"],
  pools: [{ family: "ipv4", subnet: "172.17.0.0/16", gateway: "172.17.0.1" }],
  options: { a: "b" },
  labels: {},
  extension: {},
};
const stored = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe("an endpoint", () => {
  test("an endpoint of this version is read unchanged", () => {
    const other = { ...endpoint, networkName: "front", gatewayPriority: 7, gateways: {}, names: ["web", "www"] };
    expect(readEndpoint(stored(other))).toEqual(other);
  });
  test("an endpoint of an earlier version has one address, in the only network of that time", () => {
    const old = { ...common, ipv4Address: "172.17.0.2", ipv4PrefixLength: 16, gateway: "172.17.0.1" };
    expect(readEndpoint(stored(old))).toEqual(endpoint);
  });
  test.each([
    ["no object", "text", "its object"],
    ["a member is missing", { ...endpoint, macAddress: undefined }, "macAddress"],
    [
      "an address of no family",
      { ...endpoint, addresses: [{ address: "1", prefixLength: 1, family: "ipx" }] },
      "family",
    ],
    ["a port of no protocol", { ...endpoint, ports: [{ ...ports[0], protocol: "ipx" }] }, "protocol"],
    ["a gateway that is no text", { ...endpoint, gateways: { ipv4: 1 } }, "gateways.ipv4"],
  ])("the error for an unreadable one says what is wrong: %s", (_case, value, key) => {
    expect(() => readEndpoint(stored(value))).toThrow(`${key} is missing or of another kind`);
  });
});

describe("a network", () => {
  test("of this version is read as it was", () => {
    const six = {
      family: "ipv6",
      subnet: "fd00::/64",
      gateway: "fd00::1",
      range: "fd00::/80",
      reserved: { a: "fd00::9" },
    };
    const made = {
      ...network,
      builtin: false,
      internal: true,
      families: ["ipv4", "ipv6"],
      pools: [...network.pools, six],
      extension: { attachable: true, ipamOptions: { a: "b" } },
    };
    expect<unknown>(readNetwork(stored(made))).toEqual(made);
  });
  test("a network of an earlier version has at most one subnet, and belongs to the daemon", () => {
    const {
      pools: _pools,
      families: _families,
      extension: _extension,
      builtin: _builtin,
      internal: _internal,
      ...old
    } = network;
    expect(readNetwork(stored({ ...old, subnet: "172.17.0.0/16", gateway: "172.17.0.1" }))).toEqual(network);
    expect(readNetwork(stored(old))).toEqual({ ...network, pools: [] });
  });
});
