import { expect, test } from "bun:test";
import {
  addressBytes,
  addressFromBytes,
  formatAddress,
  formatPrefix,
  lastOf,
  parseAddress,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
} from "./prefix.ts";

test.each([
  ["172.17.0.1", "172.17.0.1"],
  ["255.255.255.255", "255.255.255.255"],
  ["::", "::"],
  ["::1", "::1"],
  ["FD00:0:0:5A::80", "fd00:0:0:5a::80"],
  ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
  ["fd00::192.0.2.1", "fd00::c000:201"],
])("%s is the address %s", (text, canonical) => {
  const address = parseAddress(text)!;
  expect(formatAddress(address)).toBe(canonical);
  expect(addressFromBytes(addressBytes(address))).toEqual(address);
});

test.each(["", "1.2.3", "1.2.3.256", "fe80::1%eth0", "::g", "name"])("%p is no address", (text) => {
  expect(parseAddress(text)).toBeUndefined();
});

test("subnets", () => {
  const of = (text: string) => parsePrefix(text)!.prefix;
  expect(formatPrefix(of("172.17.3.4/16"))).toBe("172.17.0.0/16");
  expect(formatPrefix(of("fd00:5a::ffff/64"))).toBe("fd00:5a::/64");
  expect(formatAddress({ family: "ipv4", value: lastOf(of("10.0.0.0/30")) })).toBe("10.0.0.3");
  expect(formatAddress({ family: "ipv6", value: lastOf(of("fd00::/126")) })).toBe("fd00::3");
  expect(prefixContains(of("fd00:5a::/64"), parseAddress("fd00:5a::80")!)).toBe(true);
  expect(prefixContains(of("fd00:5a::/64"), parseAddress("fd00:5b::80")!)).toBe(false);
  expect(prefixContains(of("0.0.0.0/0"), parseAddress("::1")!)).toBe(false);
  expect(prefixesOverlap(of("fd00:7::/64"), of("fd00:7::/48"))).toBe(true);
  expect(prefixesOverlap(of("10.0.0.0/25"), of("10.0.0.128/25"))).toBe(false);
  for (const text of ["10.0.0.0", "10.0.0.0/33", "fd00::/129", "x/8", "10.0.0.0/-1"])
    expect(parsePrefix(text)).toBeUndefined();
});
