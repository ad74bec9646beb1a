import { describe, expect, test } from "bun:test";
import { systemClock } from "@fathom/base";
import type { NetworkPool } from "../contract.ts";
import { createIpam, NetworkAddresses } from "./ipam.ts";

const small: NetworkPool = { family: "ipv4", subnet: "10.0.0.0/30", gateway: "10.0.0.1" };
const large: NetworkPool = { family: "ipv4", subnet: "10.1.0.0/24", gateway: "10.1.0.9" };
const ipamOf = (...pools: NetworkPool[]): Promise<NetworkAddresses> =>
  NetworkAddresses.open(createIpam(systemClock), { id: "1234", name: "front", pools });
const texts = async (made: ReturnType<NetworkAddresses["request"]>): Promise<string[]> =>
  (await made).map(({ address, prefixLength }) => `${address}/${prefixLength}`);

describe("several subnets of one network", () => {
  test("the first with a free address is used, with the gateway of that subnet", async () => {
    const ipam = await ipamOf(small, large);
    const first = await ipam.request("a", []);
    expect(first).toEqual([{ family: "ipv4", address: "10.0.0.2", prefixLength: 30 }]);
    expect(ipam.gatewaysOf(first)).toEqual({ ipv4: "10.0.0.1" });
    const second = await ipam.request("b", []);
    expect(second).toEqual([{ family: "ipv4", address: "10.1.0.1", prefixLength: 24 }]);
    expect(ipam.gatewaysOf(second)).toEqual({ ipv4: "10.1.0.9" });
    await ipam.release(first, "a");
    expect(await texts(ipam.request("a", []))).toEqual(["10.0.0.2/30"]);
  });
  test("a requested address comes from its own subnet, once", async () => {
    const ipam = await ipamOf(small, large);
    expect(await texts(ipam.request("a", ["10.1.0.77"]))).toEqual(["10.1.0.77/24"]);
    await expect(ipam.request("b", ["10.1.0.77"])).rejects.toMatchObject({ code: "conflict" });
    ipam.take({ family: "ipv4", address: "10.0.0.2", prefixLength: 30 });
    expect(await texts(ipam.request("c", []))).toEqual(["10.1.0.1/24"]);
    expect(() => ipam.take({ family: "ipv4", address: "10.7.0.1", prefixLength: 24 })).toThrow("no configured subnet");
  });
  test("when all are full, the error names the network", async () => {
    const ipam = await ipamOf(small, { ...small, subnet: "10.2.0.0/30", gateway: "10.2.0.1" });
    await ipam.request("a", []);
    await ipam.request("b", []);
    await expect(ipam.request("c", [])).rejects.toThrow(
      "no available IPv4 addresses on this network's address pools: front (1234)",
    );
  });
  test("with both families an endpoint has an address of each; reserved addresses and those outside the range are not given out", async () => {
    const six: NetworkPool = { family: "ipv6", subnet: "fd00::/64", gateway: "fd00::1" };
    const reserved = { printer: "10.1.0.65" };
    const ipam = await ipamOf({ ...large, range: "10.1.0.64/29", reserved }, six);
    const first = ipam.request("a", []);
    expect(await texts(first)).toEqual(["10.1.0.64/24", "fd00::2/64"]);
    expect(ipam.gatewaysOf(await first)).toEqual({ ipv4: "10.1.0.9", ipv6: "fd00::1" });
    expect(await texts(ipam.request("b", ["fd00::ffff:ffff:ffff:ffff"]))).toEqual([
      "10.1.0.66/24",
      "fd00::ffff:ffff:ffff:ffff/64",
    ]);
    expect(await texts(ipam.request("c", ["10.1.0.7"]))).toEqual(["10.1.0.7/24", "fd00::3/64"]);
    await expect(ipam.request("d", ["10.1.0.65"])).rejects.toThrow("Address already in use");
    await ipam.release(await first, "a");
    expect(await texts(ipam.request("a", []))).toEqual(["10.1.0.64/24", "fd00::2/64"]);
  });
  test("a network without addresses gives none", async () => {
    expect(await (await ipamOf()).request("a", [])).toEqual([]);
  });
});
