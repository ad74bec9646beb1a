import { describe, expect, test } from "bun:test";
import type { NetworkInfo } from "./contract.ts";
import { checkEndpointSettings, chooseBridgeAddress } from "./default-network.ts";
import { formatIpv4, formatSubnet, parseCidr } from "./ipam/ip.ts";
import { defaultAddressPools } from "./ipam/pool.ts";

const before = (subnet: string, gateway: string): NetworkInfo => ({
  id: "1",
  name: "bridge",
  driver: "bridge",
  createdAt: "",
  subnet,
  gateway,
  options: {},
  labels: {},
});

function choose(options: { bip?: string; before?: NetworkInfo; routed?: string[]; inUse?: boolean }): string[] {
  const result = chooseBridgeAddress(
    { addressPools: defaultAddressPools, ...(options.bip === undefined ? {} : { bridgeAddress: options.bip }) },
    options.before,
    (options.routed ?? []).map((text) => parseCidr(text)!.subnet),
    options.inUse ?? false,
  );
  return [
    `${formatIpv4(result.gateway)} ${formatSubnet(result.subnet)}`,
    ...(result.warning === undefined ? [] : [result.warning]),
  ];
}

describe("the bridge's address", () => {
  test("a free pool at the first start", () => {
    expect(choose({ routed: ["172.17.0.0/24"] })).toEqual(["172.18.0.1 172.18.0.0/16"]);
  });
  test("the same at the next starts", () => {
    expect(choose({ before: before("172.20.0.0/16", "172.20.0.1") })).toEqual(["172.20.0.1 172.20.0.0/16"]);
  });
  test("another one when a route came up in it, unless containers run there", () => {
    const options = { before: before("172.17.0.0/16", "172.17.0.1"), routed: ["172.17.9.0/24"] };
    const [chosen, warning] = choose(options);
    expect(chosen).toBe("172.18.0.1 172.18.0.0/16");
    expect(warning).toContain("overlaps the bridge's subnet 172.17.0.0/16: another one is taken");
    const [kept, reason] = choose({ ...options, inUse: true });
    expect(kept).toBe("172.17.0.1 172.17.0.0/16");
    expect(reason).toContain("stays because containers run in it");
  });
  test("--bip as it is, an overlap is said", () => {
    expect(choose({ bip: "10.1.2.3/24", before: before("172.17.0.0/16", "172.17.0.1") })).toEqual([
      "10.1.2.3 10.1.2.0/24",
    ]);
    expect(choose({ bip: "10.1.2.3/24", routed: ["10.0.0.0/8"] })[1]).toContain(
      "overlaps a route of this host to 10.0.0.0/8",
    );
    for (const bip of ["10.1.2.0/24", "10.1.2.3", "10.1.2.3/31", "x"])
      expect(() => choose({ bip })).toThrow(`invalid bridge address ${bip}`);
  });
  test("a stored row that makes no sense is not used", () => {
    expect(choose({ before: before("172.20.0.0/16", "10.0.0.1") })).toEqual(["172.17.0.1 172.17.0.0/16"]);
  });
});

test("a multicast MAC is refused with its value", () => {
  const network = { id: "n", name: "bridge" } as unknown as Parameters<typeof checkEndpointSettings>[0];
  expect(() => checkEndpointSettings(network, { macAddress: "01:00:5e:00:00:01" })).toThrow(
    "01:00:5e:00:00:01 is a multicast mac address",
  );
  checkEndpointSettings(network, { macAddress: "02:00:5e:00:00:01" });
});
