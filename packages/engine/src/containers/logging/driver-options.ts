/** The options of each log driver, checked at create in Docker's words. */
import { EngineError } from "@fathom/base";
import { parseBool, parseSize } from "@fathom/spec";
import type { SyslogFormat } from "@fathom/containers";
import { fluentdPlace, gelfPlace, invalid, syslogPlace } from "./addresses.ts";

export type Options = Readonly<Record<string, string>>;

const attributeOptions = ["labels", "labels-regex", "env", "env-regex", "tag"];
const fileOptions = ["max-file", "max-size", "compress"];

/** Options that every driver has; `cache-…` are those of the spool. */
export const sharedOptions: readonly string[] = [
  "mode",
  "max-buffer-size",
  "cache-disabled",
  ...[...fileOptions, ...attributeOptions].map((name) => `cache-${name}`),
];

/** "none" takes any option and ignores it, as Docker does. */
const ownOptions: Readonly<Record<string, readonly string[]>> = {
  fluentd: [
    "fluentd-address",
    "fluentd-async",
    "fluentd-async-reconnect-interval",
    "fluentd-buffer-limit",
    "fluentd-max-retries",
    "fluentd-request-ack",
    "fluentd-retry-wait",
    "fluentd-sub-second-precision",
    "fluentd-write-timeout",
    "fluentd-read-timeout",
  ],
  gelf: [
    "gelf-address",
    "gelf-compression-level",
    "gelf-compression-type",
    "gelf-tcp-max-reconnect",
    "gelf-tcp-reconnect-delay",
  ],
  journald: [],
  "json-file": fileOptions,
  local: fileOptions,
  syslog: [
    "syslog-address",
    "syslog-facility",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
    "syslog-tls-skip-verify",
    "syslog-format",
  ],
};

export const logDrivers: readonly string[] = [...Object.keys(ownOptions), "none"].sort();
export const receivers = ["fluentd", "gelf", "journald", "syslog"] as const;

/** @throws invalid-argument "unknown log opt 'nosuch' for json-file log driver" */
export function checkNames(driver: string, options: Options): void {
  const known = [...(ownOptions[driver] ?? []), ...attributeOptions, ...sharedOptions];
  for (const key of Object.keys(options))
    if (!known.includes(key))
      throw invalid(
        driver === "local"
          ? `unknown log opt '${key}' for log driver local`
          : driver === "gelf"
            ? `unknown log opt ${JSON.stringify(key)} for gelf log driver`
            : `unknown log opt '${key}' for ${driver} log driver`,
      );
}

/** @throws invalid-argument */
export function checkReceiver(driver: string, options: Options): void {
  switch (driver) {
    case "syslog":
      syslogPlace(options["syslog-address"] ?? "");
      syslogFacility(options);
      syslogFormat(options);
      return;
    case "gelf":
      return checkGelf(options);
    case "fluentd":
      fluentdOptions(options);
  }
}

const facilities: readonly string[] = [
  "kern",
  "user",
  "mail",
  "daemon",
  "auth",
  "syslog",
  "lpr",
  "news",
  "uucp",
  "cron",
  "authpriv",
  "ftp",
];
/** The numbers 12 to 15 have no names. */
const firstLocal = 16;

export function syslogFacility({ "syslog-facility": text = "" }: Options): number {
  if (text === "") return facilities.indexOf("daemon");
  const named = facilities.indexOf(text);
  if (named >= 0) return named;
  const local = /^local([0-7])$/.exec(text);
  if (local !== null) return firstLocal + Number(local[1]);
  const number = atoi(text);
  if (number !== undefined && number >= 0 && number <= 23) return number;
  throw invalid("invalid syslog facility");
}

export function syslogFormat({ "syslog-format": text = "" }: Options): SyslogFormat {
  switch (text) {
    case "":
      return "unix";
    case "rfc3164":
    case "rfc5424":
    case "rfc5424micro":
      return text;
    default:
      throw invalid("Invalid syslog format");
  }
}

function checkGelf(options: Options): void {
  const { kind } = gelfPlace(options["gelf-address"] ?? "");
  for (const [key, value] of Object.entries(options)) {
    const unknown = (): EngineError =>
      invalid(`unknown value ${JSON.stringify(value)} for log opt ${JSON.stringify(key)} for gelf log driver`);
    switch (key) {
      case "gelf-compression-level": {
        if (kind !== "udp") throw invalid("compression is only supported on UDP");
        const level = atoi(value);
        if (level === undefined || level < -1 || level > 9) throw unknown();
        break;
      }
      case "gelf-compression-type":
        if (kind !== "udp") throw invalid("compression is only supported on UDP");
        if (!["gzip", "zlib", "none"].includes(value)) throw unknown();
        break;
      case "gelf-tcp-max-reconnect":
      case "gelf-tcp-reconnect-delay": {
        if (kind !== "tcp") throw invalid(`${JSON.stringify(key)} is only valid for TCP`);
        const number = atoi(value);
        if (number === undefined || number < 0) throw invalid(`${JSON.stringify(key)} must be a positive integer`);
      }
    }
  }
}

export interface FluentdOptions {
  readonly async: boolean;
  readonly reconnectMs: number;
  readonly bufferBytes: number;
  readonly retries: number;
  readonly retryWaitMs: number;
  readonly requestAck: boolean;
  readonly subSecondPrecision: boolean;
  readonly writeLimitMs: number;
  readonly readLimitMs: number;
}

const mostRetries = 2 ** 31 - 1;

/** @throws invalid-argument */
export function fluentdOptions(options: Options): FluentdOptions {
  fluentdPlace(options["fluentd-address"] ?? "");
  const text = (name: string): string => options[`fluentd-${name}`] ?? "";
  const flag = (name: string): boolean => text(name) !== "" && parsedBool(text(name));
  const limit = (name: string): number => {
    if (text(name) === "") return 0;
    const value = duration(text(name));
    if (value === undefined)
      throw invalid(
        `invalid value for fluentd-${name}: value must be a duration: time: invalid duration ${JSON.stringify(text(name))}`,
      );
    if (value < 0) throw invalid(`invalid value for fluentd-${name}: value must be a duration that is non-negative`);
    return value;
  };
  const bufferBytes = text("buffer-limit") === "" ? 1024 * 1024 : sizeOf(text("buffer-limit"));
  const retryWaitMs = text("retry-wait") === "" ? 1000 : mustDuration(text("retry-wait"));
  const retries = text("max-retries") === "" ? mostRetries : retriesOf(text("max-retries"));
  const async = flag("async");
  const reconnectMs = text("async-reconnect-interval") === "" ? 0 : reconnectOf(text("async-reconnect-interval"));
  return {
    bufferBytes,
    retryWaitMs,
    retries,
    async,
    reconnectMs,
    subSecondPrecision: flag("sub-second-precision"),
    requestAck: flag("request-ack"),
    writeLimitMs: limit("write-timeout"),
    readLimitMs: limit("read-timeout"),
  };
}

function retriesOf(text: string): number {
  if (!/^\d+$/.test(text)) throw invalid(`strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
  if (Number(text) > 2 ** 32 - 1)
    throw invalid(`strconv.ParseUint: parsing ${JSON.stringify(text)}: value out of range`);
  if (Number(text) > mostRetries) throw invalid("invalid fluentd-max-retries: value out of range");
  // In fluent-logger 0 means the default.
  return Number(text) === 0 ? mostRetries : Number(text);
}

function reconnectOf(text: string): number {
  const value = duration(text);
  if (value === undefined)
    throw invalid(`invalid value for fluentd-async-reconnect-interval: time: invalid duration ${JSON.stringify(text)}`);
  if (value !== 0 && (value < 100 || value > 10_000))
    throw invalid(
      `invalid value for fluentd-async-reconnect-interval: value (${JSON.stringify(text)}) must be between 100ms and 10s`,
    );
  return value;
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of Go's "1m30s"; undefined when it is none. */
function duration(text: string): number | undefined {
  if (/^[+-]?0$/.test(text)) return 0;
  const match = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+)$/.exec(text);
  if (match === null) return undefined;
  let sum = 0;
  for (const [, number, unit] of match[2]!.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)/g))
    sum += Number(number) * unitMs[unit!]!;
  return match[1] === "-" ? -sum : sum;
}

function mustDuration(text: string): number {
  const value = duration(text);
  if (value === undefined) throw invalid(`time: invalid duration ${JSON.stringify(text)}`);
  return Math.max(0, value);
}

/** @throws invalid-argument in Go's words */
export function parsedBool(text: string): boolean {
  const value = parseBool(text);
  if (value === undefined) throw invalid(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
  return value;
}

/** Bytes. @throws invalid-argument "invalid size: 'abc'" */
export function sizeOf(text: string, base?: 1000 | 1024): number {
  const size = parseSize(text, base);
  if ("wrong" in size) throw invalid(size.wrong);
  return size.bytes;
}

export function atoi(text: string): number | undefined {
  return /^[+-]?\d{1,15}$/.test(text) ? Number(text) : undefined;
}
