import { messageOf } from "@fathom/base";
import { describe, expect, test } from "bun:test";
import { decodeCommitConfig, decodeContainerCreate, decodeContainerUpdate, decodeExecCreate } from "./container.ts";
import { parseJsonText } from "./json-text.ts";
import { decodeVolumeCreate } from "./volume.ts";
import { emptyHostConfig } from "../../testing/empty-config.ts";

function refusal(decode: () => unknown): string {
  try {
    decode();
  } catch (error) {
    return messageOf(error);
  }
  return "accepted";
}

describe("decodeContainerCreate", () => {
  test("a small body gets all its fields", () => {
    const body = decodeContainerCreate({ Image: "busybox" });
    expect(body.Image).toBe("busybox");
    expect(body.Cmd).toBeNull();
    expect(body.Tty).toBe(false);
    expect(Object.hasOwn(body, "StopTimeout")).toBe(false);
    expect(body.HostConfig).toEqual(emptyHostConfig);
    expect(body.NetworkingConfig).toEqual({ EndpointsConfig: {} });
  });

  test("the empty HostConfig has each of its fields", () => {
    expect(Object.keys(decodeContainerCreate({ Image: "x", HostConfig: {} }).HostConfig).sort()).toEqual(
      Object.keys(emptyHostConfig).sort(),
    );
  });

  test("null is the same as absent, unknown fields are ignored", () => {
    const body = decodeContainerCreate({ Image: "x", Env: null, HostConfig: null, NoSuchField: { a: 1 } });
    expect(body.Env).toBeNull();
    expect(body.HostConfig).toEqual(emptyHostConfig);
    expect(body).not.toHaveProperty("NoSuchField");
  });

  test("keys match without regard to case; the last one counts", () => {
    expect(decodeContainerCreate({ image: "x", hostconfig: { memory: 5 } })).toMatchObject({
      Image: "x",
      HostConfig: { Memory: 5 },
    });
    expect(decodeContainerCreate({ image: "small", Image: "exact", IMAGE: "large" }).Image).toBe("large");
    expect(decodeContainerCreate({ IMAGE: "large", Image: "exact" }).Image).toBe("exact");
  });

  test("keys of maps keep their case, no key is special, and the result is sorted", () => {
    const labels = JSON.parse('{"b":"2","B":"1","__proto__":"3","constructor":"4"}') as object;
    const decoded = decodeContainerCreate({ Image: "x", Labels: labels }).Labels ?? {};
    expect(Object.entries(decoded)).toEqual([
      ["B", "1"],
      ["__proto__", "3"],
      ["b", "2"],
      ["constructor", "4"],
    ]);
    expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
  });

  test("names of Object's own properties are no fields", () => {
    const body = decodeContainerCreate(JSON.parse('{"Image":"x","toString":1,"__proto__":{"Cmd":["evil"]}}'));
    expect(body.Cmd).toBeNull();
  });

  test("a nested structure is read whole", () => {
    const body = decodeContainerCreate({
      Image: "x",
      Healthcheck: { Test: ["NONE"] },
      HostConfig: {
        PortBindings: { "80/tcp": [{ HostPort: "8080" }], "81/tcp": null },
        RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 },
        Ulimits: [{ Name: "nofile", Soft: 1, Hard: 2 }],
        Mounts: [{ Type: "volume", Target: "/v", VolumeOptions: { DriverConfig: { Name: "local" } } }],
        PidsLimit: 5,
        ConsoleSize: [30, 90],
        Init: false,
      },
      NetworkingConfig: { EndpointsConfig: { net: null, other: { Aliases: ["a"] } } },
    });
    expect(body.Healthcheck).toEqual({ Test: ["NONE"] });
    expect(body.HostConfig.PortBindings).toEqual({ "80/tcp": [{ HostIp: "", HostPort: "8080" }], "81/tcp": null });
    expect(body.HostConfig.RestartPolicy).toEqual({ Name: "on-failure", MaximumRetryCount: 3 });
    expect(body.HostConfig.Mounts).toEqual([
      { Type: "volume", Target: "/v", VolumeOptions: { DriverConfig: { Name: "local" } } },
    ]);
    expect(body.HostConfig.ConsoleSize).toEqual([30, 90]);
    expect(body.HostConfig.Init).toBe(false);
    expect(body.NetworkingConfig.EndpointsConfig["net"]?.Aliases).toBeNull();
    expect(body.NetworkingConfig.EndpointsConfig["other"]?.Aliases).toEqual(["a"]);
  });

  test.each([
    [{ Image: 5 }, "number into Go struct field CreateRequest.Config.Image of type string"],
    [{ Image: "x", Cmd: "echo" }, "string into Go struct field CreateRequest.Config.Cmd of type []string"],
    [{ Image: "x", Env: ["a", 1] }, "number into Go struct field CreateRequest.Config.Env of type string"],
    [{ Tty: "yes" }, "string into Go struct field CreateRequest.Config.Tty of type bool"],
    [{ Tty: {} }, "object into Go struct field CreateRequest.Config.Tty of type bool"],
    [{ Image: true }, "bool into Go struct field CreateRequest.Config.Image of type string"],
    [
      { HostConfig: { Memory: "1" } },
      "string into Go struct field HostConfig.HostConfig.Resources.Memory of type int64",
    ],
    [
      { HostConfig: { Memory: 1.5 } },
      "number 1.5 into Go struct field HostConfig.HostConfig.Resources.Memory of type int64",
    ],
    [
      { HostConfig: { BlkioWeight: -1 } },
      "number -1 into Go struct field HostConfig.HostConfig.Resources.BlkioWeight of type uint16",
    ],
    [
      { HostConfig: { Ulimits: {} } },
      "object into Go struct field HostConfig.HostConfig.Resources.Ulimits of type []*units.Ulimit",
    ],
    [
      { HostConfig: { Mounts: [{}, { Type: 1 }] } },
      "number into Go struct field Mount.HostConfig.Mounts.Type of type mount.Type",
    ],
    [
      { HostConfig: { RestartPolicy: "no" } },
      "string into Go struct field HostConfig.HostConfig.RestartPolicy of type container.RestartPolicy",
    ],
    [{ HostConfig: [] }, "array into Go struct field CreateRequest.HostConfig of type container.HostConfig"],
    [
      { Healthcheck: { Interval: "1s" } },
      "string into Go struct field HealthConfig.Config.Healthcheck.Interval of type time.Duration",
    ],
    [{ Labels: { a: 1 } }, "number into Go struct field CreateRequest.Config.Labels of type string"],
    [{ Volumes: { "/a": 1 } }, "number into Go struct field CreateRequest.Config.Volumes of type struct {}"],
    [{ ExposedPorts: [] }, "array into Go struct field CreateRequest.Config.ExposedPorts of type network.PortSet"],
    [
      { ExposedPorts: { "1/tcp": 1 } },
      "number into Go struct field CreateRequest.Config.ExposedPorts of type struct {}",
    ],
    [{ HostConfig: { Dns: [1] } }, "number into Go struct field HostConfig.HostConfig.Dns of type netip.Addr"],
    [
      { HostConfig: { PortBindings: { "1/tcp": {} } } },
      "object into Go struct field HostConfig.HostConfig.PortBindings of type []network.PortBinding",
    ],
    [
      { NetworkingConfig: { EndpointsConfig: { a: 1 } } },
      "number into Go struct field NetworkingConfig.NetworkingConfig.EndpointsConfig of type network.EndpointSettings",
    ],
    [{ User: 1, Hostname: 2 }, "number into Go struct field CreateRequest.Config.User of type string"],
    [[], "array into Go value of type container.CreateRequest"],
  ])("a wrong type is rejected in Go's words; the first wrong type of the document counts: %j", (document, message) => {
    expect(refusal(() => decodeContainerCreate(document))).toBe(`invalid JSON: json: cannot unmarshal ${message}`);
  });

  test.each([[{}], [null], [{ HostConfig: {} }]])("a body without configuration: %j", (document) => {
    expect(refusal(() => decodeContainerCreate(document))).toBe(
      "config cannot be empty in order to create a container",
    );
  });
});

test("a wrong type in the bodies of an update and a commit", () => {
  expect(refusal(() => decodeContainerUpdate({ Memory: "x" }))).toBe(
    "invalid JSON: json: cannot unmarshal string into Go struct field UpdateConfig.Resources.Memory of type int64",
  );
  expect(refusal(() => decodeCommitConfig({ Cmd: 1 }))).toBe(
    "invalid JSON: json: cannot unmarshal number into Go struct field commitRequest.Config.Cmd of type []string",
  );
});

test("an update has only the fields that the client sent", () => {
  expect(decodeContainerUpdate({ Memory: 5, RestartPolicy: { Name: "no" } })).toEqual({
    Memory: 5,
    RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
  });
  expect(decodeContainerUpdate(null)).toEqual({});
});

test("a commit's configuration may be missing", () => {
  expect(decodeCommitConfig(null)).toBeUndefined();
  expect(decodeCommitConfig({})).toBeUndefined();
  expect(decodeCommitConfig({ Cmd: ["a"] })?.Cmd).toEqual(["a"]);
});

test("exec and volume bodies", () => {
  expect(decodeExecCreate({ Cmd: ["true"], ConsoleSize: [1] }).ConsoleSize).toEqual([1, 0]);
  expect(decodeVolumeCreate({ name: "v", DriverOpts: { type: "tmpfs" } })).toEqual({
    Name: "v",
    Driver: "",
    DriverOpts: { type: "tmpfs" },
    Labels: null,
  });
});

describe("numbers of 64 bits, from their text", () => {
  const memory = (number: string): unknown => decodeContainerUpdate(parseJsonText(`{"Memory":${number}}`)).Memory;
  const refused = (number: string): string => refusal(() => memory(number));

  test("whole numbers are accepted up to the limits of the type, and stay below them", () => {
    expect(memory("9007199254740993")).toBe(9007199254740992);
    expect(memory("9223372036854775807")).toBe(2 ** 63 - 1024);
    expect(memory("-9223372036854775808")).toBe(-(2 ** 63));
    expect(memory("-9007199254740993")).toBe(-9007199254740992);
    const rate = (number: string): unknown =>
      decodeContainerCreate(parseJsonText(`{"Image":"x","HostConfig":{"IOMaximumIOps":${number}}}`)).HostConfig
        .IOMaximumIOps;
    expect(rate("18446744073709551615")).toBe(2 ** 64 - 2048);
    expect(refusal(() => rate("18446744073709551616"))).toContain("number 18446744073709551616 into Go struct field");
    // What is stored is read by clients as 64 bits.
    expect(BigInt(JSON.stringify(memory("9223372036854775807")))).toBeLessThan(2n ** 63n);
  });

  test.each(["9223372036854775808", "-9223372036854775809", "1e3", "1.0", "10E2", "1e400"])("%s is refused", (number) =>
    expect(refused(number)).toBe(
      `invalid JSON: json: cannot unmarshal number ${number} into Go struct field UpdateConfig.Resources.Memory of type int64`,
    ),
  );

  test("such a number in another place has the words of any number", () => {
    const body = parseJsonText('{"Image":1e3}');
    expect(refusal(() => decodeContainerCreate(body))).toContain("cannot unmarshal number into Go struct field");
    expect(refusal(() => decodeContainerCreate(parseJsonText('{"Image":"x","HostConfig":1e3}')))).toBe(
      "invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.HostConfig of type container.HostConfig",
    );
  });
});
