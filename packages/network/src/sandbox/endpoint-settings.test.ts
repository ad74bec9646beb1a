import { expect, test } from "bun:test";
import type { NetworkInfo } from "../contract.ts";
import { checkEndpointSettings } from "./endpoint-settings.ts";

const network: NetworkInfo = {
  id: "1",
  name: "front",
  driver: "bridge",
  createdAt: "",
  builtin: false,
  internal: false,
  pools: [
    { family: "ipv4", subnet: "10.1.0.0/24", gateway: "10.1.0.1" },
    { family: "ipv4", subnet: "10.2.0.0/24", gateway: "10.2.0.1" },
  ],
  options: {},
  families: ["ipv4"],
  extension: {},
  labels: {},
};

test("the error for a multicast MAC names it", () => {
  expect(() => checkEndpointSettings(network, { macAddress: "01:00:5e:00:00:01" })).toThrow(
    "01:00:5e:00:00:01 is a multicast mac address",
  );
  checkEndpointSettings(network, { macAddress: "02:00:5e:00:00:01" });
});

test("an address of one's own: in any subnet of a network that a user made", () => {
  checkEndpointSettings(network, { ipv4Address: "10.2.0.7" });
  expect(() => checkEndpointSettings(network, { ipv4Address: "10.3.0.7" })).toThrow(
    "invalid config for network front: invalid endpoint settings:\nno configured subnet contains IP address 10.3.0.7",
  );
  expect(() => checkEndpointSettings({ ...network, builtin: true }, { ipv4Address: "10.2.0.7" })).toThrow(
    "invalid endpoint settings:\nuser-specified IP address is supported on user-defined networks only",
  );
  expect(() => checkEndpointSettings(network, { ipv4Address: "x" })).toThrow("invalid IPv4 address: x");
});

test.each(["..", "all", "lo", "eth%d", "ä".repeat(8)])(
  "the kernel would not give the name %p to an interface",
  (name) => {
    expect(() => checkEndpointSettings(network, { interfaceName: name })).toThrow(
      `invalid interface name: ${JSON.stringify(name)}`,
    );
  },
);
