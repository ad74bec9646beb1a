import { expect, test } from "bun:test";
import type { ContainerRecord, LogDestination } from "@fathom/containers";
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";
import { expandTag } from "./attributes.ts";
import { logDestination } from "./destination.ts";
import { compressesLog, logTarget } from "./log-config.ts";

const id = "0123456789abcdef".repeat(4);

function recordWith(driver: string, options: Record<string, string>): ContainerRecord {
  const config = {
    ...emptyContainerConfig,
    Image: "web:1",
    Labels: { role: "front", "com.example.tier": "1", _hidden: "2" },
    Env: ["ZONE=a", "ZONE_ID=7", "OTHER=x"],
  };
  const hostConfig = { ...emptyHostConfig, LogConfig: { Type: driver, Config: options } };
  const facts = {
    id,
    name: "web",
    imageId: `sha256:${id}`,
    createdAt: "2026-01-01T00:00:00Z",
    path: "sh",
    arguments: ["-c", "x"],
  };
  // Only these members are read.
  return { ...facts, extension: { config, hostConfig } } as unknown as ContainerRecord;
}

const destination = (driver: string, options: Record<string, string>): LogDestination | undefined =>
  logDestination(recordWith(driver, options));
const tag = (template: string): string => expandTag(template, recordWith("json-file", {}), {});

test("tags are Go templates over the container's facts", () => {
  expect(tag("{{.ID}} {{.FullID}} {{.Name}} {{.ContainerName}}")).toBe(`${id.slice(0, 12)} ${id} web /web`);
  expect(tag("{{.ImageName}}/{{.ImageID}}/{{.Command}}/{{.DaemonName}}")).toBe("web:1/sha256:01234/sh -c x/docker");
  expect(tag('{{upper .Name}}-{{index .ContainerLabels "role"}}')).toBe("WEB-front");
  expect(tag("{{if .Name}}named{{end}} plain")).toBe("named plain");
  expect(() => tag("{{.Nosuch}}")).toThrow(
    `template: log-tag:1:2: executing "log-tag" at <.Nosuch>: can't evaluate field Nosuch in type *logger.Info`,
  );
  expect(() => tag("{{nosuch .Name}}")).toThrow('template: log-tag:1: function "nosuch" not defined');
});

test("a log on this machine has no destination; a receiver's log has a spool", () => {
  for (const driver of ["json-file", "local", "none"]) expect(destination(driver, {})).toBeUndefined();
  const config = { dataRoot: "/d" } as Parameters<typeof logTarget>[1];
  expect(logTarget(recordWith("syslog", { "cache-max-size": "5m", "cache-max-file": "2" }), config)).toEqual({
    kind: "json-file",
    path: `/d/containers/${id}/container-cached.log`,
    maxSize: 5_000_000,
    maxFiles: 2,
  });
});

test("a log without options is limited, and one with options is as Docker's", () => {
  const config = { dataRoot: "/d" } as Parameters<typeof logTarget>[1];
  const limits = (driver: string, options: Record<string, string>): unknown => {
    const { maxSize, maxFiles } = { maxSize: -1, maxFiles: -1, ...logTarget(recordWith(driver, options), config) };
    return [maxSize, maxFiles, compressesLog(recordWith(driver, options))];
  };
  expect(limits("json-file", {})).toEqual([10_000_000, 5, false]);
  expect(limits("json-file", { "max-file": "3" })).toEqual([10_000_000, 3, false]);
  expect(limits("json-file", { "max-size": "1m" })).toEqual([1_000_000, 1, false]);
  expect(limits("json-file", { "max-size": "-1" })).toEqual([0, 1, false]);
  expect(limits("json-file", { "max-size": "1m", "max-file": "2", compress: "true" })).toEqual([1_000_000, 2, true]);
  expect(limits("local", {})).toEqual([20 * 1024 * 1024, 5, true]);
});

test("labels and variables become fields, named as each receiver wants them", () => {
  const chosen = { labels: "role,none", "labels-regex": "^com", env: "ZONE", "env-regex": "_ID$" };
  expect(destination("gelf", { "gelf-address": "udp://h:1", ...chosen })?.receiver).toEqual({
    kind: "gelf",
    place: { kind: "udp", host: "h", port: 1 },
    compression: "gzip",
    level: 1,
    fields: {
      _command: "sh -c x",
      _container_id: id,
      _container_name: "web",
      _created: "2026-01-01T00:00:00Z",
      _image_id: `sha256:${id}`,
      _image_name: "web:1",
      _tag: id.slice(0, 12),
      _role: "front",
      "_com.example.tier": "1",
      _ZONE: "a",
      _ZONE_ID: "7",
    },
  });
  expect(destination("journald", { ...chosen, "labels-regex": "^(com|_)" })?.receiver).toMatchObject({
    fields: { CONTAINER_TAG: id.slice(0, 12), ROLE: "front", COM_EXAMPLE_TIER: "1", HIDDEN: "2", ZONE_ID: "7" },
  });
  expect(destination("fluentd", chosen)?.receiver).toMatchObject({
    place: { kind: "tcp", host: "127.0.0.1", port: 24224 },
    tag: id.slice(0, 12),
    fields: { container_id: id, container_name: "/web", role: "front", ZONE: "a" },
  });
});

test("delivery: buffers, tries, and whether a start waits", () => {
  const forever = { waitMs: 1000, most: Number.POSITIVE_INFINITY };
  expect(destination("syslog", {})).toMatchObject({ buffer: { bytes: 1024 * 1024, lossy: false }, retry: forever });
  expect(destination("syslog", { mode: "non-blocking" })?.buffer).toEqual({ bytes: 1_000_000, lossy: true });
  expect(destination("syslog", { mode: "non-blocking", "max-buffer-size": "4m" })?.buffer).toEqual({
    bytes: 4 * 1024 * 1024,
    lossy: true,
  });
  const gelf = { "gelf-address": "tcp://h:1", "gelf-tcp-max-reconnect": "2", "gelf-tcp-reconnect-delay": "5" };
  expect(destination("gelf", gelf)?.retry).toEqual({ waitMs: 5000, most: 3 });
  const fluentd = {
    "fluentd-async": "true",
    "fluentd-buffer-limit": "2m",
    "fluentd-max-retries": "9",
    "fluentd-retry-wait": "3s",
  };
  expect(destination("fluentd", fluentd)).toMatchObject({
    connectFirst: false,
    buffer: { bytes: 2 * 1024 * 1024, lossy: false },
    retry: { waitMs: 3000, most: 9 },
  });
});

test("syslog over TLS takes its files", () => {
  const options = {
    "syslog-address": "tcp+tls://logs.example",
    "syslog-tls-ca-cert": "/ca",
    "syslog-tls-cert": "/cert",
    "syslog-tls-key": "/key",
    "syslog-facility": "local1",
    "syslog-format": "rfc3164",
    tag: "t",
  };
  const identity = { verify: true, ca: "/ca", certificate: "/cert", key: "/key" };
  expect(destination("syslog", options)?.receiver).toEqual({
    kind: "syslog",
    place: { kind: "tls", host: "logs.example", port: 514, identity },
    facility: 17,
    format: "rfc3164",
    tag: "t",
  });
  expect(destination("syslog", { ...options, "syslog-tls-skip-verify": "" })?.receiver).toMatchObject({
    place: { identity: { verify: false } },
  });
});
