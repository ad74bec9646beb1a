import { expect, test } from "bun:test";
import { parseAddressPrefix } from "./address-prefix.ts";

test("ranges of both families; anything else is none", () => {
  expect(parseAddressPrefix("10.1.2.3/8")).toEqual({ address: "10.1.2.3", bits: 8, family: "ipv4" });
  expect(parseAddressPrefix("0.0.0.0/0")).toEqual({ address: "0.0.0.0", bits: 0, family: "ipv4" });
  expect(parseAddressPrefix("fd00::/128")).toEqual({ address: "fd00::", bits: 128, family: "ipv6" });
  for (const text of [
    "10.0.0.0",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/08",
    "10.0.0/8",
    "::/129",
    "fe80::%1/64",
    "host/8",
  ])
    expect([text, parseAddressPrefix(text)]).toEqual([text, undefined]);
});
