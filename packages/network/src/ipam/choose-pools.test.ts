import { describe, expect, test } from "bun:test";
import type { Family, NetworkPool, NetworkPoolSettings } from "../contract.ts";
import { choosePools } from "./choose-pools.ts";
import { parsePrefix } from "./prefix.ts";
import { defaultAddressPools } from "./pool.ts";

const pool = (subnet: string, gateway: string): NetworkPool => ({ family: "ipv4", subnet, gateway });

function choose(request: {
  wanted?: NetworkPoolSettings[];
  before?: NetworkPool[];
  taken?: string[];
  inUse?: boolean;
  families?: Family[];
}): string[] {
  const { wanted = [], before = [], taken = [], inUse = false, families = ["ipv4"] } = request;
  const { pools, warnings } = choosePools({
    name: "front",
    families,
    wanted,
    before,
    inUse,
    addressPools: [...defaultAddressPools, { base: "fd12:3456:789a::/48", size: 64 }],
    taken: taken.map((text) => parsePrefix(text)!.prefix),
  });
  return [...pools.map(({ subnet, gateway }) => `${gateway} ${subnet}`), ...warnings];
}

describe("the addresses of a network", () => {
  test("a free subnet at first", () => {
    expect(choose({ taken: ["172.17.0.0/24"] })).toEqual(["172.18.0.1 172.18.0.0/16"]);
  });
  test("the same at the next starts, all of them", () => {
    const before = [pool("172.20.0.0/16", "172.20.0.1"), pool("10.1.0.0/24", "10.1.0.9")];
    expect(choose({ before })).toEqual(["172.20.0.1 172.20.0.0/16", "10.1.0.9 10.1.0.0/24"]);
  });
  test("others when a route covers them now, unless containers run there", () => {
    const options = { before: [pool("172.17.0.0/16", "172.17.0.1")], taken: ["172.17.9.0/24"] };
    expect(choose(options)).toEqual([
      "172.18.0.1 172.18.0.0/16",
      "a route of this host to 172.17.9.0/24 overlaps the subnet 172.17.0.0/16 of the network front: another one is taken",
    ]);
    expect(choose({ ...options, inUse: true })).toEqual([
      "172.17.0.1 172.17.0.0/16",
      "a route of this host to 172.17.9.0/24 overlaps the subnet 172.17.0.0/16 of the network front, which stays because containers run in it",
    ]);
  });
  test("as requested, also several; an overlap gives a warning", () => {
    const wanted: NetworkPoolSettings[] = [
      { family: "ipv4", subnet: "10.1.2.0/24", gateway: "10.1.2.3" },
      { family: "ipv4", subnet: "10.9.0.0/16" },
    ];
    expect(choose({ wanted, before: [pool("172.17.0.0/16", "172.17.0.1")] })).toEqual([
      "10.1.2.3 10.1.2.0/24",
      "10.9.0.1 10.9.0.0/16",
    ]);
    expect(choose({ wanted: [wanted[0]!], taken: ["10.0.0.0/8"] })[1]).toBe(
      "the subnet 10.1.2.0/24 of the network front overlaps a route of this host to 10.0.0.0/8",
    );
  });
  test("invalid settings are rejected; an invalid stored row is not used", () => {
    for (const subnet of ["10.1.2.3/24", "10.1.2.0", "10.1.2.0/31", "x"])
      expect(() => choose({ wanted: [{ family: "ipv4", subnet }] })).toThrow(`invalid subnet ${subnet}`);
    expect(() => choose({ wanted: [{ family: "ipv4", subnet: "10.1.2.0/24", gateway: "10.1.3.1" }] })).toThrow(
      "invalid gateway 10.1.3.1 of subnet 10.1.2.0/24",
    );
    for (const range of ["10.1.3.0/28", "10.1.0.0/16", "x"])
      expect(() => choose({ wanted: [{ family: "ipv4", subnet: "10.1.2.0/24", range }] })).toThrow(
        `invalid range ${range} of subnet 10.1.2.0/24`,
      );
    expect(() => choose({ wanted: [{ family: "ipv4", subnet: "10.1.2.0/24", reserved: { a: "10.1.3.1" } }] })).toThrow(
      "invalid address 10.1.3.1 of subnet 10.1.2.0/24",
    );
    expect(choose({ before: [pool("172.20.0.0/16", "10.0.0.1")] })).toEqual(["172.17.0.1 172.17.0.0/16"]);
  });
  test("of each family that the network has; pools of others are not used", () => {
    const six: NetworkPoolSettings = { family: "ipv6", subnet: "fd00:5a::/64", gateway: "fd00:5a::ffff" };
    const four: NetworkPoolSettings = { family: "ipv4", subnet: "10.1.2.0/24", range: "10.1.2.64/29" };
    expect(choose({ families: ["ipv4", "ipv6"], wanted: [six, four] })).toEqual([
      "10.1.2.64 10.1.2.0/24",
      "fd00:5a::ffff fd00:5a::/64",
    ]);
    expect(choose({ families: ["ipv4", "ipv6"], taken: ["fd12:3456:789a::/64"] })).toEqual([
      "172.17.0.1 172.17.0.0/16",
      "fd12:3456:789a:1::1 fd12:3456:789a:1::/64",
    ]);
    expect(choose({ wanted: [six] })).toEqual(["172.17.0.1 172.17.0.0/16"]);
    expect(choose({ families: ["ipv6"], wanted: [four, six] })).toEqual(["fd00:5a::ffff fd00:5a::/64"]);
  });
});
