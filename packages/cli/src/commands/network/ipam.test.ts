import { expect, test } from "bun:test";
import { ipamConfig } from "./ipam.ts";

const flags = { subnets: [], ranges: [], gateways: [], auxiliary: {} };
const four = "203.0.113.0/24";
const six = "fd00:7::/64";

test("each value goes to the subnet that contains it", () => {
  expect(
    ipamConfig({
      subnets: [six, four],
      ranges: ["203.0.113.64/29"],
      gateways: ["203.0.113.254", "fd00:7::ffff"],
      auxiliary: { printer: "203.0.113.65" },
    }),
  ).toEqual([
    { Subnet: six, IPRange: "", Gateway: "fd00:7::ffff", AuxiliaryAddresses: {} },
    {
      Subnet: four,
      IPRange: "203.0.113.64/29",
      Gateway: "203.0.113.254",
      AuxiliaryAddresses: { printer: "203.0.113.65" },
    },
  ]);
  expect(ipamConfig(flags)).toEqual([]);
});

test.each([
  [{ gateways: ["203.0.113.1"] }, "every ip-range or gateway must have a corresponding subnet"],
  [{ subnets: ["198.51.100.0/24", "198.51.100.128/25"] }, "multiple overlapping subnet configuration is not supported"],
  [{ subnets: [four], gateways: ["198.51.100.1"] }, "no matching subnet for gateway 198.51.100.1"],
  [{ subnets: [four], gateways: ["nonsense"] }, "no matching subnet for gateway nonsense"],
  [{ subnets: [four], ranges: ["198.51.100.0/28"] }, "no matching subnet for range 198.51.100.0/28"],
  [{ subnets: [four], auxiliary: { h: "198.51.100.9" } }, "no matching subnet for aux-address 198.51.100.9"],
  [
    { subnets: [four, six], gateways: ["203.0.113.1", "203.0.113.2"] },
    `cannot configure multiple gateways (203.0.113.2, 203.0.113.1) for the same subnet (${four})`,
  ],
  [
    { subnets: [four, six], ranges: ["203.0.113.0/29", "203.0.113.8/29"] },
    `cannot configure multiple ranges (203.0.113.8/29, 203.0.113.0/29) on the same subnet (${four})`,
  ],
])("%p is an error in docker's words", (given, message) => {
  expect(() => ipamConfig({ ...flags, ...given })).toThrow(message);
});
