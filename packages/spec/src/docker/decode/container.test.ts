import { messageOf } from "@fathom/base";
import { describe, expect, test } from "bun:test";
import { decodeCommitConfig, decodeContainerCreate, decodeContainerUpdate, decodeExecCreate } from "./container.ts";
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

  test("keys match without regard to case; an exact match wins", () => {
    expect(decodeContainerCreate({ image: "x", hostconfig: { memory: 5 } })).toMatchObject({
      Image: "x",
      HostConfig: { Memory: 5 },
    });
    expect(decodeContainerCreate({ image: "small", Image: "exact", IMAGE: "large" }).Image).toBe("exact");
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
    [{ Image: 5 }, "invalid JSON: Image: expected a string, got a number"],
    [{ Image: "x", Cmd: "echo" }, "invalid JSON: Cmd: expected an array, got a string"],
    [{ Image: "x", Env: ["a", 1] }, "invalid JSON: Env[1]: expected a string, got a number"],
    [{ Image: "x", Tty: "yes" }, "invalid JSON: Tty: expected true or false, got a string"],
    [
      { Image: "x", HostConfig: { Memory: "1" } },
      "invalid JSON: HostConfig.Memory: expected a whole number, got a string",
    ],
    [
      { Image: "x", HostConfig: { Memory: 1.5 } },
      "invalid JSON: HostConfig.Memory: 1.5 is not a whole number in range",
    ],
    [
      { Image: "x", HostConfig: { BlkioWeight: -1 } },
      "invalid JSON: HostConfig.BlkioWeight: -1 is not between 0 and 65535",
    ],
    [{ Image: "x", Labels: { a: 1 } }, "invalid JSON: Labels.a: expected a string, got a number"],
    [[], "invalid JSON: expected an object, got an array"],
  ])("a wrong type names its field: %j", (document, message) => {
    expect(refusal(() => decodeContainerCreate(document))).toBe(message);
  });

  test.each([[{}], [null], [{ HostConfig: {} }]])("a body without configuration: %j", (document) => {
    expect(refusal(() => decodeContainerCreate(document))).toBe(
      "config cannot be empty in order to create a container",
    );
  });
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
