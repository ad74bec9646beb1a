import { expect, test } from "bun:test";
import { checkLogSettings, requireLogSocket } from "./log-config.ts";

const check =
  (Type: string, Config: Record<string, string> = {}) =>
  (): void =>
    checkLogSettings({ Type, Config });

test("compressed logs need a size and a second file", () => {
  for (const Config of [{}, { "max-size": "1m" }, { "max-file": "2" }, { "max-file": "1", "max-size": "1m" }])
    expect(check("json-file", { compress: "true", ...Config })).toThrow(
      "compress cannot be true when max-file is less than 2 or max-size is not set",
    );
  check("json-file", { compress: "1", "max-file": "2", "max-size": "1m" })();
  check("local", { compress: "true" })();
  expect(check("local", { "max-file": "1" })).toThrow("compression cannot be enabled when max file count is 1");
  check("local", { "max-file": "1", compress: "false" })();
  for (const compress of ["tRUE", "yes", ""])
    expect(check("json-file", { compress })).toThrow(
      `strconv.ParseBool: parsing ${JSON.stringify(compress)}: invalid syntax`,
    );
});

test("each driver has its options, and names an unknown one in its own way", () => {
  expect(check("nosuch")).toThrow('error looking up logging plugin nosuch: plugin "nosuch" not found');
  expect(check("json-file", { "syslog-address": "" })).toThrow(
    "unknown log opt 'syslog-address' for json-file log driver",
  );
  expect(check("local", { nosuch: "1" })).toThrow("unknown log opt 'nosuch' for log driver local");
  expect(check("gelf", { "gelf-address": "udp://h:1", nosuch: "1" })).toThrow(
    'unknown log opt "nosuch" for gelf log driver',
  );
  expect(check("journald", { "max-size": "1m" })).toThrow("unknown log opt 'max-size' for journald log driver");
  check("none", { nosuch: "1" })();
  for (const driver of ["syslog", "fluentd", "journald", "json-file", "local"])
    check(driver, {
      tag: "{{.Name}}",
      labels: "a",
      env: "B",
      "labels-regex": "^a",
      "env-regex": "^b",
      mode: "blocking",
    })();
});

test.each([
  ["syslog", { "syslog-address": "http://x" }, "unsupported scheme: 'http'"],
  ["syslog", { "syslog-facility": "loud" }, "invalid syslog facility"],
  ["syslog", { "syslog-facility": "24" }, "invalid syslog facility"],
  ["syslog", { "syslog-format": "rfc1" }, "Invalid syslog format"],
  ["gelf", {}, "gelf-address is a required parameter"],
  ["gelf", { "gelf-address": "http://x:1" }, "gelf: endpoint needs to be TCP or UDP"],
  ["gelf", { "gelf-address": "udp://x" }, "gelf: please provide gelf-address as proto://host:port"],
  ["gelf", { "gelf-address": "tcp://x:1", "gelf-compression-type": "gzip" }, "compression is only supported on UDP"],
  [
    "gelf",
    { "gelf-address": "udp://x:1", "gelf-compression-level": "10" },
    'unknown value "10" for log opt "gelf-compression-level" for gelf log driver',
  ],
  [
    "gelf",
    { "gelf-address": "udp://x:1", "gelf-tcp-max-reconnect": "1" },
    '"gelf-tcp-max-reconnect" is only valid for TCP',
  ],
  [
    "gelf",
    { "gelf-address": "tcp://x:1", "gelf-tcp-max-reconnect": "-1" },
    '"gelf-tcp-max-reconnect" must be a positive integer',
  ],
  ["fluentd", { "fluentd-address": "udp://x" }, "invalid fluentd-address (udp://x): unsupported scheme: 'udp'"],
  [
    "fluentd",
    { "fluentd-address": "tcp://x/y" },
    "invalid fluentd-address (tcp://x/y): should not contain a path element",
  ],
  ["fluentd", { "fluentd-address": "unix://" }, "invalid fluentd-address (unix://): path is empty"],
  ["fluentd", { "fluentd-async": "perhaps" }, 'strconv.ParseBool: parsing "perhaps": invalid syntax'],
  ["fluentd", { "fluentd-retry-wait": "soon" }, 'time: invalid duration "soon"'],
  ["fluentd", { "fluentd-async-reconnect-interval": "1ms" }, "must be between 100ms and 10s"],
  ["fluentd", { "fluentd-max-retries": "3000000000" }, "invalid fluentd-max-retries: value out of range"],
  ["json-file", { mode: "fast" }, "logger: logging mode not supported: fast"],
  [
    "json-file",
    { "max-buffer-size": "1m" },
    "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
  ],
  [
    "json-file",
    { mode: "non-blocking", "max-buffer-size": "x" },
    "error parsing option max-buffer-size: invalid size: 'x'",
  ],
  ["json-file", { "max-size": "0" }, "max-size must be a positive number"],
  ["syslog", { "cache-disabled": "perhaps" }, "invalid value for option cache-disabled: perhaps"],
  ["local", { "max-size": "big" }, "invalid value for max-size: big: invalid size: 'big'"],
] as const)("%s with %o is rejected: %s", (driver, options, words) => expect(check(driver, options)).toThrow(words));

test("syslog, gelf and fluentd take what Docker takes", () => {
  for (const address of ["", "udp://10.0.0.1", "tcp://h:601", "tcp+tls://[::1]:6514", "unixgram:///dev"])
    check("syslog", { "syslog-address": address, "syslog-facility": "local7", "syslog-format": "rfc5424micro" })();
  check("gelf", { "gelf-address": "tcp://h:1", "gelf-tcp-max-reconnect": "0", "gelf-tcp-reconnect-delay": "2" })();
  for (const address of ["", "h", "h:1", "tls://h", "unix:///run/f.sock"])
    check("fluentd", { "fluentd-address": address, "fluentd-retry-wait": "1m30s", "fluentd-buffer-limit": "8m" })();
});

test("the socket of a local syslog must exist", async () => {
  const files = { kindOf: async (path: string) => (path === "/dev/log" ? ("other" as const) : undefined) };
  const required = (address: string) =>
    requireLogSocket(files, { Type: "syslog", Config: { "syslog-address": address } });
  await required("unixgram:///dev/log");
  await required("udp://nowhere");
  await expect(required("unix:///nonexistent")).rejects.toThrow("stat /nonexistent: no such file or directory");
});

test("a file that does not block is rejected, not ignored; a receiver may", () => {
  const modes = { mode: "non-blocking", "max-buffer-size": "4m" };
  for (const driver of ["json-file", "local"])
    for (const options of [{ mode: "non-blocking" }, modes])
      expect(check(driver, options)).toThrow(`log opt 'mode=non-blocking' is not supported yet for ${driver}`);
  for (const driver of ["syslog", "fluentd", "journald"]) check(driver, modes)();
  check("json-file", { mode: "blocking" })();
});

test("max-file is a number as Docker reads it", () => {
  const files = (text: string) => check("json-file", { "max-file": text, "max-size": "1m" });
  for (const text of ["1e9", "0x10", " 5", "1.0", "", "five"])
    expect(files(text)).toThrow(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  for (const text of ["99999999999999999999", "9223372036854775808", "-9223372036854775809"])
    expect(files(text)).toThrow(`strconv.Atoi: parsing ${JSON.stringify(text)}: value out of range`);
  for (const text of ["0", "-3", "-9223372036854775808"]) expect(files(text)).toThrow("max-file cannot be less than 1");
  for (const text of ["5", "+5", "007", "5000000000", "9223372036854775807"]) files(text)();
});
