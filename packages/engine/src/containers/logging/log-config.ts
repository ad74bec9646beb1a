/** Log drivers: settings of a container, checked at create, and turned into the supervisor's `LogSink` at start. */
import { EngineError } from "@fathom/base";
import type { HostConfig } from "@fathom/spec";
import type { LogSink } from "@fathom/runtime";
import { type ContainerRecord, containerPaths } from "@fathom/containers";
import type { HostFiles } from "@fathom/sys";
import type { EngineConfig } from "../../contract.ts";
import { compilePattern } from "../../filters/patterns.ts";
import { dockerOf } from "../docker-extension.ts";
import { invalid, syslogPlace } from "./addresses.ts";
import { expandTag, selectAttributes } from "./attributes.ts";
import {
  checkNames,
  checkReceiver,
  logDrivers,
  parsedBool,
  receivers,
  sharedOptions,
  sizeOf,
  type Options,
} from "./driver-options.ts";

export interface LogSettings {
  readonly Type: string;
  readonly Config: Options;
}

/** Files of one log. */
interface FileLimits {
  readonly maxSize: number;
  readonly maxFiles: number;
  readonly compress: boolean;
}

const megabyte = 1024 * 1024;
/** A log without options. Docker's has no limit, and fills the disk in the end. */
const jsonDefaults = { maxSize: 10 * 1000 * 1000, maxFiles: 5 } as const;
const localDefaults: FileLimits = { maxSize: 20 * megabyte, maxFiles: 5, compress: true };

/** The settings of a new container: the daemon's defaults when the request has none; those of the spool hold for every driver. */
export function resolveLogSettings(
  requested: { Type?: string | undefined; Config?: Record<string, string> | null | undefined } | undefined,
  config: EngineConfig,
): LogSettings {
  const type = requested?.Type ?? "";
  if (type === "" || type === config.logDriver)
    return { Type: config.logDriver, Config: { ...config.logOptions, ...requested?.Config } };
  const spool = Object.entries(config.logOptions).filter(([name]) => name.startsWith("cache-"));
  return { Type: type, Config: { ...Object.fromEntries(spool), ...requested?.Config } };
}

/** The log settings of a container. */
export function logSettingsOf({ LogConfig: { Type, Config } }: HostConfig): LogSettings {
  return { Type, Config: Config ?? {} };
}

/** @throws invalid-argument in Docker's words; for an invalid pattern in Go's */
export function checkLogSettings({ Type: driver, Config: options }: LogSettings): void {
  if (!logDrivers.includes(driver))
    throw invalid(`error looking up logging plugin ${driver}: plugin ${JSON.stringify(driver)} not found`);
  // As in Docker, it takes any option and ignores it.
  if (driver === "none") return;
  checkNames(driver, options);
  checkReceiver(driver, options);
  limitsOf(driver, options);
  for (const key of ["labels-regex", "env-regex"]) compilePattern(options[key] ?? "");
  const { mode, "max-buffer-size": bufferSize, "cache-disabled": cacheDisabled = "" } = options;
  if (mode !== undefined && !["", "blocking", "non-blocking"].includes(mode))
    throw invalid(`logger: logging mode not supported: ${mode}`);
  if (bufferSize !== undefined) {
    if (mode !== "non-blocking")
      throw invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
    saying("error parsing option max-buffer-size", () => sizeOf(bufferSize));
  }
  if (mode === "non-blocking" && !hasReceiver(driver))
    throw new EngineError(
      "not-implemented",
      `log opt 'mode=non-blocking' is not supported yet for ${driver}: a program whose log cannot be written waits; leave the option out or set it to blocking`,
    );
  if (cacheDisabled !== "" && optionalBool(cacheDisabled) === undefined)
    throw invalid(`invalid value for option cache-disabled: ${cacheDisabled}`);
}

/** The socket of a local receiver must exist at create, as in Docker. @throws invalid-argument "stat /dev/nolog: no such file or directory" */
export async function requireLogSocket(
  files: Pick<HostFiles, "kindOf">,
  { Type: driver, Config: options }: LogSettings,
): Promise<void> {
  if (driver !== "syslog") return;
  const place = syslogPlace(options["syslog-address"] ?? "");
  if ((place.kind === "unix" || place.kind === "unixgram") && (await files.kindOf(place.path)) === undefined)
    throw invalid(`stat ${place.path}: no such file or directory`);
}

function optionalBool(text: string): boolean | undefined {
  try {
    return parsedBool(text);
  } catch {
    return undefined;
  }
}

/** @throws the error of `read`, with `what` before its message */
function saying<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof EngineError ? new EngineError(error.code, `${what}: ${error.message}`) : error;
  }
}

function jsonLimits({ "max-size": size, "max-file": files, compress = "false" }: Options): FileLimits {
  const compresses = parsedBool(compress);
  const maxSize = size === undefined ? jsonDefaults.maxSize : size === "-1" ? 0 : sizeOf(size, 1000);
  if (size !== undefined && size !== "-1" && maxSize <= 0) throw invalid("max-size must be a positive number");
  const maxFiles = files === undefined ? (size === undefined ? jsonDefaults.maxFiles : 1) : filesOf(files);
  if (maxFiles < 1) throw invalid("max-file cannot be less than 1");
  if (compresses && (files === undefined || maxFiles < 2 || size === undefined || maxSize === 0))
    throw invalid("compress cannot be true when max-file is less than 2 or max-size is not set");
  return { maxSize, maxFiles, compress: compresses };
}

function localLimits({ "max-size": size, "max-file": files, compress }: Options): FileLimits {
  const maxSize =
    size === undefined
      ? localDefaults.maxSize
      : saying(`invalid value for max-size: ${size}`, () => sizeOf(size, 1000));
  const maxFiles =
    files === undefined ? localDefaults.maxFiles : saying(`invalid value for max-file: ${files}`, () => filesOf(files));
  const compresses =
    compress === undefined
      ? localDefaults.compress
      : saying("invalid boolean value for compress", () => parsedBool(compress));
  if (maxFiles < 0) throw invalid("max-file must not be negative");
  if (compresses && maxFiles <= 1) throw invalid("compression cannot be enabled when max file count is 1");
  return { maxSize, maxFiles: Math.max(1, maxFiles), compress: compresses };
}

/** The `cache-…` options are those of `local`. */
function spoolLimits(options: Options): FileLimits {
  const entries = Object.entries(options).flatMap(([name, value]) =>
    name.startsWith("cache-") && sharedOptions.includes(name) ? [[name.slice("cache-".length), value] as const] : [],
  );
  return localLimits(Object.fromEntries(entries));
}

/** @throws invalid-argument in Go's words */
function filesOf(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw invalid(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  const exact = BigInt(text.replace("+", ""));
  if (BigInt.asIntN(64, exact) !== exact)
    throw invalid(`strconv.Atoi: parsing ${JSON.stringify(text)}: value out of range`);
  return Number(text);
}

/** Path of the log when it can be read; undefined when the driver keeps no log. */
export function readableLog(record: ContainerRecord, config: EngineConfig): string | undefined {
  const { Type, Config } = logSettingsOf(dockerOf(record).hostConfig);
  const cacheDisabled = Config["cache-disabled"] ?? "";
  return hasReceiver(Type) && cacheDisabled !== "" && optionalBool(cacheDisabled) !== false
    ? undefined
    : logPath(Type, record, config);
}

function hasReceiver(driver: string): boolean {
  return receivers.some((name) => name === driver);
}

function logPath(driver: string, record: ContainerRecord, config: EngineConfig): string | undefined {
  const paths = containerPaths(config, record.id);
  switch (driver) {
    case "json-file":
      return paths.jsonLog;
    case "local":
      return paths.localLog;
    default:
      return hasReceiver(driver) ? paths.cachedLog : undefined;
  }
}

/** Whether rotated files of the log are compressed. */
export function compressesLog(record: ContainerRecord): boolean {
  const { Type, Config } = logSettingsOf(dockerOf(record).hostConfig);
  return Type !== "none" && limitsOf(Type, Config).compress;
}

function limitsOf(driver: string, options: Options): FileLimits {
  return driver === "json-file"
    ? jsonLimits(options)
    : driver === "local"
      ? localLimits(options)
      : spoolLimits(options);
}

/** @throws invalid-argument for a tag that is no template, or a pattern that takes too long */
export function logTarget(record: ContainerRecord, config: EngineConfig): LogSink {
  const { Type: driver, Config: options } = logSettingsOf(dockerOf(record).hostConfig);
  const path = logPath(driver, record, config);
  if (path === undefined) return { kind: "none" };
  const { maxSize, maxFiles } = limitsOf(driver, options);
  const attributes = selectAttributes(record, options);
  const tag = expandTag(options["tag"] ?? "", record, options);
  if (tag !== "") attributes["tag"] = tag;
  return {
    kind: "json-file",
    path,
    maxSize,
    maxFiles,
    ...(driver === "local" ? { form: "entries" as const } : {}),
    ...(Object.keys(attributes).length > 0 ? { attributes } : {}),
  };
}
