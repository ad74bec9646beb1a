import { describe, expect, test } from "bun:test";
import { expandPorts, parsePortRange, parsePortSpec } from "./port-requests.ts";

const shown = (...args: Parameters<typeof expandPorts>): string[] =>
  expandPorts(...args).map(
    ({ protocol, containerPort, hostIp, hostPortFirst, hostPortLast }) =>
      `${hostIp}:${hostPortFirst}-${hostPortLast}:${containerPort}/${protocol}`,
  );

describe("expandPorts", () => {
  test("fixed, range, random, address", () => {
    const bindings = {
      "80/tcp": [
        { HostIp: "", HostPort: "8080" },
        { HostIp: "127.0.0.1", HostPort: "8081-8083" },
      ],
      "53/udp": [{ HostIp: "::1", HostPort: "" }],
      "81": [{}],
    };
    expect(shown([], bindings, false).sort()).toEqual([
      "127.0.0.1:8081-8083:80/tcp",
      ":0-0:81/tcp",
      ":8080-8080:80/tcp",
      "::1:0-0:53/udp",
    ]);
  });
  test("no binding at all means a random port", () => {
    expect(shown([], { "80/tcp": null, "81/tcp": [] }, false)).toEqual([":0-0:80/tcp", ":0-0:81/tcp"]);
  });
  test("all exposed ports that have no binding of their own", () => {
    expect(shown(["80/tcp", "90/tcp", "53/UDP"], { "80/tcp": [{ HostPort: "8080" }] }, true)).toEqual([
      ":8080-8080:80/tcp",
      ":0-0:90/tcp",
      ":0-0:53/udp",
    ]);
    expect(shown(["80/tcp"], {}, false)).toEqual([]);
  });
  test("what dockerd rejects", () => {
    for (const key of ["0/tcp", "65536/tcp", "80/xyz", "http", "80/tcp/udp"])
      expect(() => expandPorts([], { [key]: [{}] }, false)).toThrow(`invalid port specification: "${key}"`);
    for (const HostPort of ["70000", "9-8", "abc", "1-", "-1"])
      expect(() => expandPorts([], { "80/tcp": [{ HostPort }] }, false)).toThrow(
        `invalid port specification: "${HostPort}"`,
      );
    expect(() => expandPorts([], { "80/tcp": [{ HostIp: "300.1.1.1" }] }, false)).toThrow(
      "invalid IP address: 300.1.1.1",
    );
    expect(() => expandPorts(["none"], {}, true)).toThrow('invalid port specification: "none"');
  });
});

test("the pieces", () => {
  expect(parsePortSpec("80")).toEqual({ port: 80, protocol: "tcp" });
  expect(parsePortSpec("80/SCTP")).toEqual({ port: 80, protocol: "sctp" });
  expect(parsePortRange("1-65535")).toEqual({ first: 1, last: 65535 });
});
