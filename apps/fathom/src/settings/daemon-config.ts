/**
 * The daemon's configuration: flags and daemon.json, checked as dockerd checks them. Both together may not name one option; unknown keys
 * and flags are named.
 */
import { readFileSync, statSync } from "node:fs";
import { isIPv4 } from "node:net";
import { parseArgs } from "node:util";
import { EngineError, logLevels, messageOf, type LogLevel } from "@fathom/base";
import { checkLogSettings, type EngineConfig, type UlimitSetting } from "@fathom/engine";
import { defaultAddressPools, type DefaultNetworkOptions } from "@fathom/network";
import { environmentProxy, type RegistryConfig } from "@fathom/distribution";
import { parseSize, parseBool, parseUlimit, wrongUlimit } from "@fathom/spec";
import { checkValues } from "./check-values.ts";
import { daemonOptions, keyOf, type DaemonOption } from "./daemon-options.ts";

export interface DaemonConfig {
  /** `unix:///run/fathom/fathom.sock`, or `fd://`: the sockets that a service manager opened. */
  readonly hosts: readonly string[];
  readonly group: string;
  readonly pidFile: string;
  readonly logLevel: LogLevel;
  readonly logFormat: "text" | "json";
  /** Check the configuration and end. */
  readonly validateOnly: boolean;
  /** The database begins anew; the one before is kept under another name. */
  readonly rebuildDatabase: boolean;
  readonly engine: EngineConfig;
  readonly network: DefaultNetworkOptions;
  readonly registry: RegistryConfig;
}

export interface BuildFacts {
  readonly version: string;
  readonly gitCommit: string;
  readonly buildTime: string;
}

type Value =
  | boolean
  | string
  | number
  | readonly string[]
  | Readonly<Record<string, string>>
  | readonly UlimitSetting[]
  | readonly Pool[];
interface Pool {
  readonly base: string;
  readonly size: number;
}
type Values = ReadonlyMap<string, Value>;

const defaultConfigFile = "/etc/fathom/daemon.json";

/** @throws invalid-argument in dockerd's words */
export function readDaemonConfig(argv: readonly string[], facts: BuildFacts): DaemonConfig {
  const flags = parseFlags(argv);
  const configFile = (flags.get("config-file") as string | undefined) ?? defaultConfigFile;
  const fromFile = readConfigFile(configFile, flags.has("config-file"), flags);
  const values = new Map([...fromFile, ...flags]);
  refuseUnsupported(values);
  return build(values, facts);
}

function invalid(message: string): EngineError {
  return new EngineError("invalid-argument", message);
}

function parseFlags(argv: readonly string[]): Values {
  const config: Record<string, { type: "boolean" | "string"; short?: string; multiple?: boolean }> = {};
  const expanded: string[] = [];
  for (const { flag, short, kind } of daemonOptions)
    config[flag] = {
      type: kind === "boolean" ? "boolean" : "string",
      multiple: true,
      ...(short === undefined ? {} : { short }),
    };
  // parseArgs has no `--flag=true` for booleans.
  const booleans = new Map<string, boolean[]>();
  for (const word of argv) {
    const match = /^--?([\w-]+)=(.*)$/.exec(word);
    const known =
      match && daemonOptions.find((one) => (one.flag === match[1] || one.short === match[1]) && one.kind === "boolean");
    if (!known) {
      expanded.push(word);
      continue;
    }
    booleans.set(known.flag, [...(booleans.get(known.flag) ?? []), booleanOf(match[2]!, `--${known.flag}`)]);
  }
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: expanded, options: config, allowPositionals: true, strict: true });
  } catch (error) {
    const unknown = /Unknown option '(-+[^']*)'/.exec(messageOf(error))?.[1];
    throw invalid(unknown === undefined ? messageOf(error) : `unknown flag: ${unknown}`);
  }
  if (parsed.positionals.length > 0)
    throw invalid(`"fathom daemon" accepts no arguments, but ${JSON.stringify(parsed.positionals[0])} was given`);
  const values = new Map<string, Value>();
  for (const option of daemonOptions) {
    const given = [parsed.values[option.flag] ?? [], booleans.get(option.flag) ?? []].flat();
    if (given.length > 0) values.set(option.flag, flagValue(option, given));
  }
  return values;
}

function flagValue(option: DaemonOption, given: readonly (string | boolean)[]): Value {
  const name = `--${option.flag}`;
  const texts = given.map(String);
  const last = texts.at(-1)!;
  switch (option.kind) {
    case "boolean":
      return given.at(-1) === true;
    case "string":
      return last;
    case "integer":
      return parseInteger(last, name);
    case "size":
      return bytesOf(last, name);
    case "list":
      return texts;
    case "map":
      return Object.fromEntries(texts.map((text) => splitPair(text, name)));
    case "ulimits":
      return texts.map((text) => ulimitOf(text, name));
    case "pools":
      return texts.map((text) => parsePool(text, name));
  }
}

function readConfigFile(path: string, explicit: boolean, flags: Values): Values {
  const fail = (reason: string): EngineError =>
    invalid(`unable to configure the Fathom daemon with file ${path}: ${reason}`);
  if (statSync(path, { throwIfNoEntry: false }) === undefined) {
    if (explicit) throw fail(`open ${path}: no such file or directory`);
    return new Map();
  }
  const text = readFileSync(path, "utf8");
  if (text.trim() === "") return new Map();
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw fail(`invalid JSON: ${messageOf(error)}`);
  }
  if (typeof content !== "object" || content === null || Array.isArray(content))
    throw fail("it does not hold a JSON object");
  const byKey = new Map(
    daemonOptions.flatMap((option) => (keyOf(option) === undefined ? [] : [[keyOf(option)!, option] as const])),
  );
  const entries = flattened(content);
  const unknown = entries.map(([key]) => key).filter((key) => !byKey.has(key));
  if (unknown.length > 0)
    throw fail(`the following directives don't match any configuration option: ${unknown.join(", ")}`);
  const values = new Map<string, Value>();
  const conflicts: string[] = [];
  for (const [key, raw] of entries) {
    const option = byKey.get(key)!;
    let value: Value;
    try {
      value = fileValue(option, raw, key);
    } catch (error) {
      throw fail(messageOf(error));
    }
    const flag = flags.get(option.flag);
    // A list or map of the file may be added to by flags only in dockerd's named options; one place is clearer.
    if (flag !== undefined) conflicts.push(`${key}: (from flag: ${show(flag)}, from file: ${show(value)})`);
    values.set(option.flag, value);
  }
  if (conflicts.length > 0)
    throw fail(
      `the following directives are specified both as a flag and in the configuration file: ${conflicts.join(", ")}`,
    );
  return values;
}

/** Of "proxies" each name is an option of its own: "proxies.http-proxy". */
function flattened(content: object): (readonly [string, unknown])[] {
  return Object.entries(content).flatMap(([key, value]: [string, unknown]) =>
    key === "proxies" && typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.entries(value).map(([name, one]) => [`proxies.${name}`, one] as const)
      : [[key, value] as const],
  );
}

function show(value: Value): string {
  return Array.isArray(value)
    ? `[${value.map((item) => (typeof item === "object" ? JSON.stringify(item) : String(item))).join(" ")}]`
    : typeof value === "object"
      ? JSON.stringify(value)
      : String(value);
}

function fileValue(option: DaemonOption, raw: unknown, key: string): Value {
  const wrong = (expected: string): EngineError =>
    invalid(`${key}: expected ${expected}, found ${JSON.stringify(raw)}`);
  const isMap = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  switch (option.kind) {
    case "boolean":
      if (typeof raw !== "boolean") throw wrong("true or false");
      return raw;
    case "string":
      if (typeof raw !== "string") throw wrong("a string");
      return raw;
    case "integer":
      if (typeof raw !== "number" || !Number.isInteger(raw)) throw wrong("a whole number");
      return raw;
    case "size":
      if (typeof raw === "number") return raw;
      if (typeof raw !== "string") throw wrong("a size");
      return bytesOf(raw, key);
    case "list":
      if (typeof raw === "string" && key === "host-gateway-ips") return [raw];
      if (!Array.isArray(raw) || !raw.every((item) => typeof item === "string")) throw wrong("a list of strings");
      return raw;
    case "map":
      if (!isMap(raw)) throw wrong("an object");
      return Object.fromEntries(Object.entries(raw).map(([name, value]) => [name, String(value)]));
    case "ulimits":
      if (!isMap(raw)) throw wrong("an object");
      return Object.entries(raw).map(([name, value]) => {
        if (!isMap(value) || typeof value["Hard"] !== "number" || typeof value["Soft"] !== "number")
          throw wrong('objects of the form {"Name": "nofile", "Hard": 64000, "Soft": 64000}');
        return checkUlimit({ Name: name, Hard: value["Hard"], Soft: value["Soft"] }, key);
      });
    case "pools":
      if (!Array.isArray(raw)) throw wrong("a list of objects");
      return raw.map((item: unknown) => {
        if (!isMap(item) || typeof item["base"] !== "string" || typeof item["size"] !== "number")
          throw wrong('objects of the form {"base": "172.30.0.0/16", "size": 24}');
        return { base: item["base"], size: item["size"] };
      });
  }
}

function booleanOf(text: string, name: string): boolean {
  const value = parseBool(text);
  if (value !== undefined) return value;
  throw invalid(
    `invalid argument ${JSON.stringify(text)} for ${JSON.stringify(name)} flag: it is neither true nor false`,
  );
}

function parseInteger(text: string, name: string): number {
  if (!/^-?\d+$/.test(text))
    throw invalid(
      `invalid argument ${JSON.stringify(text)} for ${JSON.stringify(name)} flag: it is not a whole number`,
    );
  return Number(text);
}

/** @throws invalid-argument naming the option or the key */
function bytesOf(text: string, name: string): number {
  const size = parseSize(text);
  if ("wrong" in size)
    throw invalid(`invalid argument ${JSON.stringify(text)} for ${JSON.stringify(name)}: ${size.wrong}`);
  return size.bytes;
}

function splitPair(text: string, name: string): [string, string] {
  const equals = text.indexOf("=");
  if (equals < 1)
    throw invalid(`invalid argument ${JSON.stringify(text)} for ${JSON.stringify(name)} flag: expected key=value`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function ulimitOf(text: string, name: string): UlimitSetting {
  const ulimit = parseUlimit(text);
  if ("wrong" in ulimit)
    throw invalid(`invalid argument ${JSON.stringify(text)} for ${JSON.stringify(name)} flag: ${ulimit.wrong}`);
  return ulimit.limit;
}

function checkUlimit(limit: UlimitSetting, name: string): UlimitSetting {
  const wrong = wrongUlimit(limit);
  if (wrong !== undefined) throw invalid(`${name}: ${wrong}`);
  return limit;
}

function parsePool(text: string, name: string): Pool {
  const fields = Object.fromEntries(text.split(",").map((part) => splitPair(part, name)));
  if (fields["base"] === undefined || fields["size"] === undefined)
    throw invalid(
      `invalid argument ${JSON.stringify(text)} for ${JSON.stringify(name)} flag: expected base=CIDR,size=N`,
    );
  return { base: fields["base"], size: parseInteger(fields["size"], name) };
}

/** Options that this engine lacks may be given with the value that says "off". */
function refuseUnsupported(values: Values): void {
  for (const option of daemonOptions) {
    const value = values.get(option.flag);
    if (option.unsupported !== true || value === undefined || value === false || value === "" || value === 0) continue;
    if (typeof value === "object" && Object.keys(value).length === 0) continue;
    throw invalid(`the option ${option.flag} is not supported yet`);
  }
}

function build(values: Values, facts: BuildFacts): DaemonConfig {
  const text = (flag: string, fallback: string): string => (values.get(flag) as string | undefined) ?? fallback;
  const number = (flag: string, fallback: number): number => (values.get(flag) as number | undefined) ?? fallback;
  const truth = (flag: string, fallback: boolean): boolean => (values.get(flag) as boolean | undefined) ?? fallback;
  const list = (flag: string): readonly string[] => (values.get(flag) as readonly string[] | undefined) ?? [];
  const execRoot = absolute(text("exec-root", "/run/fathom"), "exec-root");
  const debug = truth("debug", false);
  const logLevel = text("log-level", "info");
  if (!(logLevels as readonly string[]).includes(logLevel)) throw invalid(`invalid logging level: ${logLevel}`);
  const logFormat = text("log-format", "text");
  if (logFormat !== "text" && logFormat !== "json") throw invalid(`invalid log format: ${logFormat}`);
  check(values);
  const proxy = proxyOf(values);
  const hosts = list("host").length > 0 ? list("host") : ["unix:///run/fathom/fathom.sock"];
  return {
    hosts: hosts.map(checkHost),
    group: text("group", "docker"),
    pidFile: text("pidfile", "/run/fathom/fathom.pid"),
    logLevel: debug ? "debug" : (logLevel as LogLevel),
    logFormat,
    validateOnly: truth("validate", false),
    rebuildDatabase: truth("rebuild-database", false),
    engine: {
      dataRoot: absolute(text("data-root", "/var/lib/fathom"), "data-root"),
      execRoot,
      cgroupParent: text("cgroup-parent", "/fathom"),
      logDriver: text("log-driver", "json-file"),
      logOptions: (values.get("log-opt") as Record<string, string> | undefined) ?? {},
      defaultUlimits: (values.get("default-ulimit") as readonly UlimitSetting[] | undefined) ?? [],
      defaultShmSizeBytes: number("default-shm-size", 64 * 2 ** 20),
      dns: list("dns"),
      dnsSearch: list("dns-search"),
      dnsOptions: list("dns-opt"),
      hostGatewayIps: list("host-gateway-ip"),
      liveRestore: truth("live-restore", false),
      shutdownTimeoutSeconds: number("shutdown-timeout", 15),
      maxConcurrentDownloads: number("max-concurrent-downloads", 6),
      maxConcurrentUploads: number("max-concurrent-uploads", 5),
      noNewPrivileges: truth("no-new-privileges", false),
      init: truth("init", false),
      seccompProfile: text("seccomp-profile", ""),
      labels: list("label"),
      experimental: truth("experimental", false),
      debug,
      ...(proxy === undefined ? {} : { proxy }),
      insecureRegistries: list("insecure-registry"),
      registryMirrors: list("registry-mirror").map(checkMirror),
      stemPoolSize: 3,
      ...facts,
    },
    network: {
      ...(values.has("bip") ? { bridgeAddress: text("bip", "") } : {}),
      bridgeName: text("bridge", "") || "fathom0",
      addressPools: (values.get("default-address-pool") as readonly Pool[] | undefined) ?? defaultAddressPools,
      mtu: number("mtu", 0),
      ipForward: truth("ip-forward", true),
      ipMasquerade: truth("ip-masq", true),
      interContainerCommunication: truth("icc", true),
      defaultBindAddress: text("ip", "0.0.0.0"),
      userlandProxy: truth("userland-proxy", true),
    },
    registry: {
      ...(proxy === undefined ? {} : { proxy }),
      insecureRegistries: list("insecure-registry"),
      mirrors: list("registry-mirror"),
      certificateDirectories: ["/etc/fathom/certs.d", "/etc/docker/certs.d"],
      idleTimeoutMs: 60_000,
      attempts: number("max-download-attempts", 5),
      userAgent: `fathom/${facts.version}`,
    },
  };
}

/** What is given stands before the environment's, one by one; undefined where nothing is given. */
function proxyOf(values: Values): RegistryConfig["proxy"] {
  const text = (flag: string): string | undefined => values.get(flag) as string | undefined;
  const given = { http: text("http-proxy"), https: text("https-proxy"), no: text("no-proxy") };
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return Object.keys(set).length === 0 ? undefined : { ...environmentProxy(), ...set };
}

/** Values that make no sense, or that would ask for another engine. */
function check(values: Values): void {
  for (const flag of ["max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts"]) {
    const value = values.get(flag);
    if (typeof value === "number" && value <= 0) throw invalid(`invalid ${flag.replaceAll("-", " ")}: ${value}`);
  }
  const storage = values.get("storage-driver");
  if (storage !== undefined && storage !== "overlay2" && storage !== "")
    throw invalid(`storage driver ${JSON.stringify(storage)} is not supported: overlay2 is the only one`);
  for (const entry of (values.get("exec-opt") as readonly string[] | undefined) ?? [])
    if (entry !== "native.cgroupdriver=cgroupfs")
      throw invalid(`exec option ${JSON.stringify(entry)} is not supported: only native.cgroupdriver=cgroupfs`);
  const runtime = values.get("default-runtime");
  if (runtime !== undefined && !["", "fathom", "runc"].includes(runtime as string))
    throw invalid(`specified default runtime ${JSON.stringify(runtime)} does not exist`);
  if (values.get("bridge") === "none")
    throw invalid(
      `bridge "none" is not supported yet: the default bridge is always there; containers without a network take --network none`,
    );
  const bip = values.get("bip");
  if (typeof bip === "string" && bip !== "" && !isBridgeAddress(bip))
    throw invalid(
      `invalid bip ${JSON.stringify(bip)}: the bridge's own IPv4 address with its prefix length is needed, as 172.17.0.1/16`,
    );
  if (values.get("iptables") === false)
    throw invalid("iptables=false is not supported yet: published ports need the rules");
  for (const label of (values.get("label") as readonly string[] | undefined) ?? [])
    if (!label.includes("=")) throw invalid(`bad attribute format: ${label}`);
  checkValues(values);
  try {
    checkLogSettings({
      Type: (values.get("log-driver") as string | undefined) ?? "json-file",
      Config: (values.get("log-opt") as Record<string, string> | undefined) ?? {},
    });
  } catch (error) {
    throw invalid(`log-driver and log-opt: ${messageOf(error)}`);
  }
}

function isBridgeAddress(text: string): boolean {
  const match = /^([\d.]+)\/(\d{1,2})$/.exec(text);
  return match !== null && isIPv4(match[1]!) && Number(match[2]) >= 1 && Number(match[2]) <= 30;
}

function absolute(path: string, name: string): string {
  if (!path.startsWith("/")) throw invalid(`${name} must be an absolute path, found ${JSON.stringify(path)}`);
  return path.replace(/(.)\/+$/, "$1");
}

function checkHost(host: string): string {
  if (/^unix:\/\/\/./.test(host)) return host;
  if (host.startsWith("tcp://")) throw invalid(`listening on ${host} is not supported yet: TCP needs TLS`);
  if (host === "fd://" || host === "fd://*") return "fd://";
  if (host.startsWith("fd://"))
    throw invalid(`listening on ${host} is not supported yet: fd:// alone takes every socket of the unit`);
  throw invalid(
    `invalid bind address (${host}): use unix:///path/to/socket, or fd:// for the sockets of a systemd unit`,
  );
}

function checkMirror(mirror: string): string {
  if (!/^https?:\/\/[^/?#@]+\/?$/.test(mirror))
    throw invalid(`invalid mirror: ${JSON.stringify(mirror)}: it must be http(s)://host[:port]`);
  return mirror;
}
