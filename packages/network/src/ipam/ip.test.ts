import { expect, test } from "bun:test";
import {
  broadcastOf,
  canonicalIpv6,
  contains,
  familyOf,
  formatHostPort,
  formatIpv4,
  formatMac,
  formatSubnet,
  isLoopback,
  macOf,
  overlaps,
  parseCidr,
  parseIpv4,
  parseMac,
} from "./ip.ts";
import { parseAddress } from "./prefix.ts";

test("addresses are read and written, wrong ones are rejected", () => {
  for (const text of ["0.0.0.0", "127.0.0.1", "192.168.255.1", "255.255.255.255"])
    expect(formatIpv4(parseIpv4(text)!)).toBe(text);
  for (const text of ["", "1.2.3", "1.2.3.256", "1.2.3.4.5", "::1", "01.2.3.4", " 1.2.3.4"])
    expect(parseIpv4(text)).toBeUndefined();
});

test("prefixes at both ends of their range", () => {
  expect(parseCidr("172.17.0.1/16")).toEqual({
    address: 0xac110001,
    subnet: { address: 0xac110000, prefixLength: 16 },
  });
  expect(formatSubnet(parseCidr("255.1.2.3/0")!.subnet)).toBe("0.0.0.0/0");
  expect(formatSubnet(parseCidr("255.1.2.3/32")!.subnet)).toBe("255.1.2.3/32");
  expect(formatIpv4(broadcastOf(parseCidr("172.17.0.0/16")!.subnet))).toBe("172.17.255.255");
  for (const text of ["172.17.0.1", "172.17.0.1/33", "172.17.0.1/", "x/16"]) expect(parseCidr(text)).toBeUndefined();
});

test("subnets contain and overlap", () => {
  const wide = parseCidr("172.16.0.0/12")!.subnet;
  const narrow = parseCidr("172.17.0.0/16")!.subnet;
  expect(contains(wide, parseIpv4("172.31.0.1")!)).toBe(true);
  expect(contains(wide, parseIpv4("172.32.0.1")!)).toBe(false);
  expect(overlaps(wide, narrow) && overlaps(narrow, wide)).toBe(true);
  expect(overlaps(narrow, parseCidr("172.18.0.0/16")!.subnet)).toBe(false);
});

test("families, loopback and spellings", () => {
  expect([familyOf("10.0.0.1"), familyOf("fe80::1"), familyOf("fe80::1%eth0"), familyOf("host")]).toEqual([
    4,
    6,
    undefined,
    undefined,
  ]);
  expect(["127.0.0.53", "::1", "0:0::1"].map(isLoopback)).toEqual([true, true, true]);
  expect(["128.0.0.1", "::2", "name"].map(isLoopback)).toEqual([false, false, false]);
  expect(canonicalIpv6("2001:0DB8:0::0001")).toBe("2001:db8::1");
  expect([formatHostPort("0.0.0.0", 80), formatHostPort("::", 80)]).toEqual(["0.0.0.0:80", "[::]:80"]);
});

test("MAC addresses", () => {
  expect(formatMac(macOf(parseAddress("172.17.0.2")!))).toBe("02:42:ac:11:00:02");
  expect(parseMac("02-42-AC-11-00-02")).toEqual(macOf(parseAddress("172.17.0.2")!));
  for (const text of ["02:42:zz", "02:42:ac:11:00", "02:42:ac:11:00:02:03", ""]) expect(parseMac(text)).toBeUndefined();
});
