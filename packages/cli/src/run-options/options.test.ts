import { describe, expect, test } from "bun:test";
import { environmentOf } from "./files.ts";
import { parseMount } from "./mount.ts";
import { parseExpose, parsePublish } from "./ports.ts";
import { parseAddHost, parseBytes, parseCsvRecord, parseDuration, parseNanoCpus, parseUlimit } from "./values.ts";

test("bytes, durations, cpus", () => {
  expect(parseBytes("64m")).toBe(67108864);
  expect(parseBytes("1.5GiB")).toBe(1610612736);
  expect(parseBytes("1k")).toBe(1024);
  expect(parseBytes("10")).toBe(10);
  expect(() => parseBytes("-1")).toThrow("invalid size: '-1'");
  expect(() => parseBytes("abc")).toThrow("invalid size: 'abc'");
  expect(["1 kB", "1KIB", "1 ", ".5k", "5.", "1e3", "+5"].map(parseBytes)).toEqual([1024, 1024, 1, 512, 5, 1000, 5]);
  for (const suffix of ["q", "kq", "ki", "bb", "zb"])
    expect(() => parseBytes(`1${suffix}`)).toThrow(`invalid suffix: '${suffix}'`);
  expect(() => parseBytes("1.5.5")).toThrow('strconv.ParseFloat: parsing "1.5.5": invalid syntax');
  expect(() => parseBytes("1  k")).toThrow('strconv.ParseFloat: parsing "1 ": invalid syntax');
  expect(parseDuration("1m30s")).toBe(90e9);
  expect(parseDuration("1.5ms")).toBe(1.5e6);
  expect(() => parseDuration("5")).toThrow('time: missing unit in duration "5"');
  expect(() => parseDuration("x")).toThrow('time: invalid duration "x"');
  expect(parseNanoCpus("0.5")).toBe(5e8);
  expect(() => parseNanoCpus("abc")).toThrow("failed to parse abc as a rational number");
});

test("ulimits and hosts", () => {
  expect(parseUlimit("nofile=100:200")).toEqual({ Name: "nofile", Soft: 100, Hard: 200 });
  expect(parseUlimit("core=-1")).toEqual({ Name: "core", Soft: -1, Hard: -1 });
  expect(() => parseUlimit("nosuch=1")).toThrow("invalid ulimit type: nosuch");
  expect(() => parseUlimit("nofile=200:100")).toThrow(
    "ulimit soft limit must be less than or equal to hard limit: 200 > 100",
  );
  expect(parseAddHost("db:203.0.113.7")).toBe("db:203.0.113.7");
  expect(parseAddHost("six=[2001:db8::1]")).toBe("six:2001:db8::1");
  expect(() => parseAddHost("nocolon")).toThrow('bad format for add-host: "nocolon"');
  expect(() => parseAddHost("db:999.1.1.1")).toThrow('invalid IP address in add-host: "999.1.1.1"');
});

describe("mounts", () => {
  test("fields", () => {
    expect(parseCsvRecord('a,"b,c",""')).toEqual(["a", "b,c", ""]);
    expect(parseMount("type=bind,src=/d,dst=/data,readonly")).toEqual({
      Type: "bind",
      Source: "/d",
      Target: "/data",
      ReadOnly: true,
    });
    expect(parseMount("source=vol,target=/v,volume-nocopy=true")).toEqual({
      Type: "volume",
      Source: "vol",
      Target: "/v",
      VolumeOptions: { NoCopy: true },
    });
    expect(parseMount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=0700").TmpfsOptions).toEqual({
      SizeBytes: 1048576,
      Mode: 0o700,
    });
  });
  test("errors", () => {
    expect(() => parseMount("type=bind,src=/tmp")).toThrow("target is required");
    expect(() => parseMount("target")).toThrow("invalid field 'target' must be a key=value pair");
    expect(() => parseMount("nosuch=1,target=/x")).toThrow("unexpected key 'nosuch' in 'nosuch=1'");
    expect(() => parseMount("type=bind,src=/a,target=/x,tmpfs-size=1m")).toThrow(
      "cannot mix 'tmpfs-*' options with mount type 'bind'",
    );
  });
});

test("ports", () => {
  expect(parsePublish("8080:80")).toEqual([{ port: "80/tcp", hostIp: "", hostPort: "8080" }]);
  expect(parsePublish("127.0.0.1::53/udp")).toEqual([{ port: "53/udp", hostIp: "127.0.0.1", hostPort: "" }]);
  expect(parsePublish("[::1]:8080:80")).toEqual([{ port: "80/tcp", hostIp: "::1", hostPort: "8080" }]);
  expect(parsePublish("8000-8001:80-81").map((mapping) => mapping.hostPort)).toEqual(["8000", "8001"]);
  expect(parsePublish("8000-8010:80")).toEqual([{ port: "80/tcp", hostIp: "", hostPort: "8000-8010" }]);
  expect(() => parsePublish("99999:80")).toThrow("invalid hostPort: 99999");
  expect(() => parsePublish("18090-18091:80-82")).toThrow(
    "invalid ranges specified for container and host Ports: 80-82 and 18090-18091",
  );
  expect(() => parsePublish("18090:80/xyz")).toThrow("invalid proto: xyz");
  expect(parseExpose("8000-8001/udp")).toEqual(["8000/udp", "8001/udp"]);
});

test("when a variable is given twice, the last value is used, at the position of the first", () => {
  expect(environmentOf([], ["Z=1", "A=1", "Z=2", "C", "A", "Y=a=b"], { A: "mine" })).toEqual([
    "Z=2",
    "A=mine",
    "C",
    "Y=a=b",
  ]);
});
