import { expect, test } from "bun:test";
import { bridgeOptions, readBridgeOptions } from "./bridge-options.ts";

const id = "0123456789abcdef";
const read = (name: keyof typeof bridgeOptions, value: string) =>
  readBridgeOptions(id, { [bridgeOptions[name]]: value });

test("absent options", () => {
  expect(readBridgeOptions(id, {})).toEqual({
    bridge: "br-0123456789ab",
    openBetween: true,
    masquerade: true,
    bindAddress: "0.0.0.0",
    mtu: 0,
    gatewayModes: { ipv4: "nat", ipv6: "nat" },
    inhibitIpv4: false,
    interfacePrefix: "eth",
  });
});

test("booleans are those of Go", () => {
  for (const value of ["1", "t", "T", "TRUE", "true", "True"])
    expect(read("openBetween", value).openBetween).toBe(true);
  for (const value of ["0", "f", "F", "FALSE", "false", "False"])
    expect([read("openBetween", value).openBetween, read("masquerade", value).masquerade]).toEqual([false, false]);
});

test.each([
  ["openBetween", "perhaps", 'strconv.ParseBool: parsing "perhaps": invalid syntax'],
  ["masquerade", "", 'strconv.ParseBool: parsing "": invalid syntax'],
  ["isDefault", "yes", 'strconv.ParseBool: parsing "yes": invalid syntax'],
  ["bindAddress", "eth0", "nil ip"],
  ["mtu", "big", 'strconv.Atoi: parsing "big": invalid syntax'],
  ["gatewayModeIpv6", "bent", "unknown gateway mode bent"],
  ["inhibitIpv4", "no", 'strconv.ParseBool: parsing "no": invalid syntax'],
  ["mtu", "", 'strconv.Atoi: parsing "": invalid syntax'],
] as const)("%s=%p is an error in Docker's words", (name, value, reason) => {
  expect(() => read(name, value)).toThrow(`failed to parse ${bridgeOptions[name]} value: ${value} (${reason})`);
});

test.each(["-1", "65536"])("the MTU %p does not exist", (value) => {
  expect(() => read("mtu", value)).toThrow(`invalid MTU number: ${value}`);
});

test("options that the driver cannot follow are rejected", () => {
  expect(() => readBridgeOptions(id, { "com.docker.network.host_ipv4": "192.0.2.1" })).toThrow("is not supported yet");
  for (const prefix of ["", "a/b", "eth%d", "much-too-long-prefix"])
    expect(() => read("interfacePrefix", prefix)).toThrow("invalid prefix of interface names");
});
