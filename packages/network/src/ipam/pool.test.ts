import { describe, expect, test } from "bun:test";
import { SubnetAddresses, chooseSubnet, defaultAddressPools } from "./pool.ts";
import { formatAddress, formatPrefix, parseAddress, parsePrefix, type Address } from "./prefix.ts";

const subnet = (text: string) => parsePrefix(text)!.prefix;
const address = (text: string): Address => parseAddress(text)!;

describe("subnets", () => {
  const choose = (...used: string[]): string =>
    formatPrefix(chooseSubnet(defaultAddressPools, "ipv4", used.map(subnet)));

  test("the first free pool, in Docker's order", () => {
    expect(choose()).toBe("172.17.0.0/16");
    expect(choose("172.17.0.0/16")).toBe("172.18.0.0/16");
    expect(choose("172.17.200.0/24", "172.18.0.1/32")).toBe("172.19.0.0/16");
    expect(choose("172.16.0.0/12")).toBe("192.168.0.0/20");
    expect(choose("172.16.0.0/12", "192.168.1.0/24")).toBe("192.168.16.0/20");
    expect(choose("172.17.0.0/16", "172.18.0.0/15", "172.20.0.0/16")).toBe("172.21.0.0/16");
  });
  test("of IPv6, also when a large part of a very large pool is taken", () => {
    const pools = [{ base: "fd00::/8", size: 64 }];
    const chosen = (...used: string[]): string => formatPrefix(chooseSubnet(pools, "ipv6", used.map(subnet)));
    expect(chosen()).toBe("fd00::/64");
    expect(chosen("fd00::/9", "fd80::/10", "10.0.0.0/8", "fdc0::1/128")).toBe("fdc0:0:0:1::/64");
    expect(() => chosen("fc00::/7")).toThrow("fully subnetted");
  });
  test("no pool left, and invalid pools", () => {
    expect(() => choose("0.0.0.0/1", "128.0.0.0/1")).toThrow("all predefined address pools have been fully subnetted");
    expect(() => chooseSubnet([{ base: "10.0.0.0/24", size: 16 }], "ipv4", [])).toThrow(
      "invalid address pool 10.0.0.0/24",
    );
    expect(() => chooseSubnet([{ base: "ten", size: 16 }], "ipv4", [])).toThrow("invalid address pool ten");
  });
});

describe("addresses", () => {
  let now = 0;
  const pool = (text = "172.17.0.0/16"): SubnetAddresses => {
    const { family, value } = subnet(text);
    const settings = { subnet: subnet(text), range: undefined, reserved: [{ family, value: value + 1n }] };
    return new SubnetAddresses(settings, () => now);
  };
  const textOf = (given: Address | undefined): string => (given === undefined ? "" : formatAddress(given));

  test("from the lowest up, without the gateway", () => {
    const addresses = pool();
    expect([1, 2, 3].map(() => textOf(addresses.allocate("a")))).toEqual(["172.17.0.2", "172.17.0.3", "172.17.0.4"]);
  });

  test("a released address rests, then it is the lowest again", () => {
    now = 0;
    const addresses = pool();
    const first = addresses.allocate("a");
    addresses.allocate("a");
    addresses.release(first!, "gone");
    expect(textOf(addresses.allocate("a"))).toBe("172.17.0.4");
    now = 2000;
    expect(textOf(addresses.allocate("a"))).toBe("172.17.0.2");
    expect(textOf(addresses.allocate("a"))).toBe("172.17.0.5");
  });

  test("a container that comes back soon gets its own address again", () => {
    now = 0;
    const addresses = pool();
    const [first, second] = [addresses.allocate("a"), addresses.allocate("b")];
    addresses.release(first!, "a");
    addresses.release(second!, "b");
    expect(addresses.allocate("b")).toEqual(second);
    expect(addresses.allocate("a")).toEqual(first);
  });

  test("a full subnet gives the address that rested longest, then none", () => {
    now = 0;
    const addresses = pool("10.0.0.0/29");
    const given = [1, 2, 3, 4, 5].map(() => addresses.allocate("a"));
    expect(addresses.allocate("a")).toBeUndefined();
    addresses.release(given[3]!, "gone");
    now = 1;
    addresses.release(given[1]!, "gone");
    expect([addresses.allocate("a"), addresses.allocate("a")]).toEqual([given[3]!, given[1]!]);
    expect(addresses.allocate("a")).toBeUndefined();
  });

  test("a certain address can be taken once; never the network's, the broadcast or the gateway", () => {
    const addresses = pool();
    addresses.take(address("172.17.0.2"));
    expect(() => addresses.take(address("172.17.0.2"))).toThrow("Address already in use");
    expect(() => addresses.take(address("172.17.0.1"))).toThrow("Address already in use");
    for (const text of ["172.18.0.2", "172.17.0.0", "172.17.255.255"])
      expect(() => addresses.take(address(text))).toThrow(`no configured subnet contains IP address ${text}`);
    expect(textOf(addresses.allocate("a"))).toBe("172.17.0.3");
    addresses.release(address("172.17.0.1"), "gone");
    expect(addresses.has(address("172.17.0.1"))).toBe(true);
  });

  test("thousands of addresses, no duplicates", () => {
    now = 0;
    const addresses = pool();
    const given = new Set(Array.from({ length: 5000 }, () => textOf(addresses.allocate("a"))));
    expect(given.size).toBe(5000);
    for (const one of given) addresses.release(address(one), "gone");
    now = 5000;
    expect(textOf(addresses.allocate("a"))).toBe("172.17.0.2");
  });
});
