/** Log drivers and their options: checked at create, and turned into the supervisor's `LogSink` at start. */
import { dockerOf } from "./docker-extension.ts";
import { EngineError, shortId } from "@fathom/base";
import { parseBool, parseSize, type HostConfig } from "@fathom/spec";
import type { LogSink } from "@fathom/runtime";
import { type ContainerRecord, containerPaths } from "@fathom/containers";
import type { EngineConfig } from "../contract.ts";
import { compilePattern } from "../filters/patterns.ts";

export interface LogSettings {
  readonly Type: string;
  readonly Config: Readonly<Record<string, string>>;
}

const drivers = ["json-file", "local", "none"] as const;
export const logDrivers: readonly string[] = drivers;
const sharedOptions = ["mode", "max-buffer-size"];
const optionsOf: Readonly<Record<string, readonly string[]>> = {
  "json-file": [
    "max-file",
    "max-size",
    "compress",
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "tag",
    ...sharedOptions,
  ],
  local: ["max-file", "max-size", "compress", ...sharedOptions],
  none: [],
};

/** `local` rotates by default; here its files have the same form as json-file's. */
const localDefaults = { maxSize: 20 * 1024 * 1024, maxFiles: 5 };

/** The settings of a new container: the daemon's defaults when the request has none. */
export function resolveLogSettings(
  requested: { Type?: string | undefined; Config?: Record<string, string> | null | undefined } | undefined,
  config: EngineConfig,
): LogSettings {
  const type = requested?.Type ?? "";
  if (type === "" || type === config.logDriver) {
    const settings = { Type: config.logDriver, Config: { ...config.logOptions, ...requested?.Config } };
    return settings;
  }
  return { Type: type, Config: { ...requested?.Config } };
}

/** The log settings of a container. */
export function logSettingsOf({ LogConfig: { Type, Config } }: HostConfig): LogSettings {
  return { Type, Config: Config ?? {} };
}

/** @throws invalid-argument in Docker's words; for an invalid pattern in Go's */
export function checkLogSettings(settings: LogSettings): void {
  const known = Object.hasOwn(optionsOf, settings.Type) ? optionsOf[settings.Type] : undefined;
  if (known === undefined)
    throw new EngineError(
      "invalid-argument",
      `error looking up logging plugin ${settings.Type}: plugin ${JSON.stringify(settings.Type)} not found`,
    );
  for (const key of Object.keys(settings.Config))
    if (!known.includes(key))
      throw new EngineError("invalid-argument", `unknown log opt '${key}' for ${settings.Type} log driver`);
  const { maxFiles, maxSize } = limits(settings);
  const compress = compresses(settings);
  if (compress && (maxFiles < 2 || maxSize <= 0))
    throw new EngineError(
      "invalid-argument",
      "compress cannot be true when max-file is less than 2 or max-size is not set",
    );
  if (compress)
    throw new EngineError(
      "not-implemented",
      "log opt 'compress' is not supported yet: rotated logs stay uncompressed; leave the option out or set it to false",
    );
  for (const key of ["labels-regex", "env-regex"]) compilePattern(settings.Config[key] ?? "");
  const { mode, "max-buffer-size": bufferSize } = settings.Config;
  if (mode !== undefined && !["", "blocking", "non-blocking"].includes(mode))
    throw new EngineError("invalid-argument", `logger: logging mode not supported: ${mode}`);
  if (bufferSize !== undefined) {
    bytesOf(bufferSize);
    if (mode !== "non-blocking")
      throw new EngineError(
        "invalid-argument",
        "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
      );
  }
  if (mode === "non-blocking")
    throw new EngineError(
      "not-implemented",
      "log opt 'mode=non-blocking' is not supported yet: a program whose log cannot be written waits; leave the option out or set it to blocking",
    );
}

/** @throws invalid-argument in Go's words */
function compresses({ Config: { compress = "false" } }: LogSettings): boolean {
  const value = parseBool(compress);
  if (value === undefined)
    throw new EngineError("invalid-argument", `strconv.ParseBool: parsing ${JSON.stringify(compress)}: invalid syntax`);
  return value;
}

/** @throws invalid-argument "invalid size: 'abc'" */
function bytesOf(text: string): number {
  const size = parseSize(text);
  if ("wrong" in size) throw new EngineError("invalid-argument", size.wrong);
  return size.bytes;
}

function limits(settings: LogSettings): { maxSize: number; maxFiles: number } {
  const { "max-size": size, "max-file": files } = settings.Config;
  const local = settings.Type === "local";
  const maxSize = size === undefined ? (local ? localDefaults.maxSize : 0) : size === "-1" ? 0 : bytesOf(size);
  const maxFiles = files === undefined ? (local ? localDefaults.maxFiles : 1) : Number(files);
  if (files !== undefined && !/^[+-]?\d+$/.test(files))
    throw new EngineError("invalid-argument", `strconv.Atoi: parsing ${JSON.stringify(files)}: invalid syntax`);
  const exact = BigInt(files?.replace("+", "") ?? 1);
  if (BigInt.asIntN(64, exact) !== exact)
    throw new EngineError("invalid-argument", `strconv.Atoi: parsing ${JSON.stringify(files)}: value out of range`);
  if (maxFiles < 1) throw new EngineError("invalid-argument", "max-file cannot be less than 1");
  return { maxSize, maxFiles };
}

/** Path of the log when it can be read; undefined when the driver keeps no log. */
export function readableLog(record: ContainerRecord, config: EngineConfig): string | undefined {
  const paths = containerPaths(config, record.id);
  switch (dockerOf(record).hostConfig.LogConfig.Type) {
    case "json-file":
      return paths.jsonLog;
    case "local":
      return paths.localLog;
    default:
      return undefined;
  }
}

export function logTarget(record: ContainerRecord, config: EngineConfig): LogSink {
  const settings = logSettingsOf(dockerOf(record).hostConfig);
  const path = readableLog(record, config);
  if (path === undefined) return { kind: "none" };
  const attributes = selectAttributes(record, settings.Config);
  return {
    kind: "json-file",
    path,
    ...limits(settings),
    ...(Object.keys(attributes).length > 0 ? { attributes } : {}),
  };
}

/**
 * Labels and variables that `labels`, `labels-regex`, `env`, `env-regex` choose, and the tag.
 * @throws invalid-argument for a pattern that takes too long on all of them
 */
function selectAttributes(record: ContainerRecord, options: Readonly<Record<string, string>>): Record<string, string> {
  const attributes: Record<string, string> = {};
  const environment: Record<string, string> = {};
  for (const entry of dockerOf(record).config.Env ?? []) {
    const equals = entry.indexOf("=");
    if (equals > 0) environment[entry.slice(0, equals)] = entry.slice(equals + 1);
  }
  const choose = (
    from: Readonly<Record<string, string>>,
    names: string | undefined,
    pattern: string | undefined,
  ): void => {
    for (const name of names?.split(",") ?? []) if (Object.hasOwn(from, name)) attributes[name] = from[name]!;
    if (pattern === undefined || pattern === "") return;
    const matches = compilePattern(pattern);
    for (const [name, value] of Object.entries(from)) if (matches(name)) attributes[name] = value;
  };
  choose(dockerOf(record).config.Labels ?? {}, options["labels"], options["labels-regex"]);
  choose(environment, options["env"], options["env-regex"]);
  if (options["tag"] !== undefined && options["tag"] !== "") attributes["tag"] = expandTag(options["tag"], record);
  return attributes;
}

/** The fields of a log tag template, and its methods that need no argument. */
function expandTag(template: string, record: ContainerRecord): string {
  const values: Readonly<Record<string, string>> = {
    ID: shortId(record.id),
    FullID: record.id,
    ContainerID: record.id,
    Name: record.name,
    ContainerName: `/${record.name}`,
    ImageID: shortId(record.imageId.replace(/^sha256:/, "")),
    ImageFullID: record.imageId,
    ContainerImageID: record.imageId,
    ImageName: dockerOf(record).config.Image,
    ContainerImageName: dockerOf(record).config.Image,
    DaemonName: "fathom",
    Command: [record.path, ...record.arguments].join(" "),
  };
  return template.replace(/\{\{\s*\.(\w+)\s*\}\}/g, (whole, field: string) => values[field] ?? whole);
}
