import { describe, expect, test } from "bun:test";
import { networkConfig, type DefaultNetworkOptions } from "./default-networks.ts";
import { defaultOptions } from "./testing/settings.ts";

const bridgeOf = (change: Partial<DefaultNetworkOptions>) => {
  const { networks, defaultNetwork } = networkConfig({ ...defaultOptions, ...change });
  return networks.find(({ name }) => name === defaultNetwork)!;
};

describe("the daemon's options as networks", () => {
  test("bridge, host and none; containers get the bridge by default", () => {
    const { networks, defaultNetwork } = networkConfig(defaultOptions);
    expect(networks.map(({ name, driver }) => `${name} ${driver}`).sort()).toEqual([
      "bridge bridge",
      "host host",
      "none null",
    ]);
    expect(defaultNetwork).toBe("bridge");
  });
  test("the bridge's options have Docker's names", () => {
    const change = {
      mtu: 1400,
      ipMasquerade: false,
      interContainerCommunication: false,
      defaultBindAddress: "127.0.0.1",
    };
    expect(bridgeOf(change).options).toEqual({
      "com.docker.network.bridge.default_bridge": "true",
      "com.docker.network.bridge.enable_icc": "false",
      "com.docker.network.bridge.enable_ip_masquerade": "false",
      "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
      "com.docker.network.bridge.name": "fathom0",
      "com.docker.network.driver.mtu": "1400",
    });
  });
  test("--bip is the bridge's own address and its subnet; an invalid one is rejected", () => {
    expect(bridgeOf({}).pools).toEqual([]);
    expect(bridgeOf({ bridgeAddress: "10.1.2.3/24" }).pools).toEqual([
      { family: "ipv4", subnet: "10.1.2.0/24", gateway: "10.1.2.3" },
    ]);
    for (const bridgeAddress of ["10.1.2.0/24", "10.1.2.3", "10.1.2.3/31", "x"])
      expect(() => bridgeOf({ bridgeAddress })).toThrow(`invalid bridge address ${bridgeAddress}`);
  });
  test("another bridge name gives another table of rules", () => {
    expect(networkConfig(defaultOptions).ruleTable).toBe("fathom");
    expect(networkConfig({ ...defaultOptions, bridgeName: "x0" }).ruleTable).toBe("fathom-x0");
  });
});
