import { describe, expect, test } from "bun:test";
import { systemClock } from "@fathom/base";
import type { NetworkPool } from "../contract.ts";
import { createIpam, NetworkAddresses } from "./ipam.ts";

const small: NetworkPool = { family: "ipv4", subnet: "10.0.0.0/30", gateway: "10.0.0.1" };
const large: NetworkPool = { family: "ipv4", subnet: "10.1.0.0/24", gateway: "10.1.0.9" };
const ipamOf = (...pools: NetworkPool[]): Promise<NetworkAddresses> =>
  NetworkAddresses.open(createIpam(systemClock), pools);
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
  test("when all are full, the error is that of the first", async () => {
    const ipam = await ipamOf(small, { ...small, subnet: "10.2.0.0/30", gateway: "10.2.0.1" });
    await ipam.request("a", []);
    await ipam.request("b", []);
    await expect(ipam.request("c", [])).rejects.toThrow("no available IPv4 addresses on subnet 10.0.0.0/30");
  });
  test("a network without addresses gives none", async () => {
    expect(await (await ipamOf()).request("a", [])).toEqual([]);
  });
});
