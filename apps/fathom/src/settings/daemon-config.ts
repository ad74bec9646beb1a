/**
 * The daemon's configuration: flags and daemon.json, checked as dockerd checks them. An option may not be in both; the error for unknown keys
 * and flags names them.
 */
import { logLevels, type LogLevel } from "@fathom/base";
import type { EngineConfig } from "@fathom/engine";
import { defaultAddressPools, type DefaultNetworkOptions } from "@fathom/network";
import { environmentProxy, type RegistryConfig } from "@fathom/distribution";
import { checkValues, refuseUnsupported } from "./check-values.ts";
import { readConfigFile } from "./config-file.ts";
import { parseFlags } from "./flags.ts";
import { OptionValues } from "./option-values.ts";
import { invalid } from "./value-texts.ts";

export interface DaemonConfig {
  /** `unix:///run/fathom/fathom.sock`, or `fd://`: the sockets that a service manager opened. */
  readonly hosts: readonly string[];
  readonly group: string;
  readonly pidFile: string;
  readonly logLevel: LogLevel;
  readonly logFormat: "text" | "json";
  /** Check the configuration and end. */
  readonly validateOnly: boolean;
  /** The database is made again; the old one is kept under another name. */
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

const defaultConfigFile = "/etc/fathom/daemon.json";

/** @throws invalid-argument in dockerd's words */
export function readDaemonConfig(argv: readonly string[], facts: BuildFacts): DaemonConfig {
  const flags = parseFlags(argv);
  const file = flags.text("config-file");
  const fromFile = readConfigFile(file ?? defaultConfigFile, file !== undefined, flags);
  const values = new OptionValues([...fromFile, ...flags]);
  refuseUnsupported(values);
  return build(values, facts);
}

function build(values: OptionValues, facts: BuildFacts): DaemonConfig {
  const text = (flag: string, fallback: string): string => values.text(flag) ?? fallback;
  const number = (flag: string, fallback: number): number => values.number(flag) ?? fallback;
  const truth = (flag: string, fallback: boolean): boolean => values.boolean(flag) ?? fallback;
  const list = (flag: string): readonly string[] => values.list(flag);
  const execRoot = absolute(text("exec-root", "/run/fathom"), "exec-root");
  const debug = truth("debug", false);
  const level = text("log-level", "info");
  const logLevel = logLevels.find((known) => known === level);
  if (logLevel === undefined) throw invalid(`invalid logging level: ${level}`);
  const logFormat = text("log-format", "text");
  if (logFormat !== "text" && logFormat !== "json") throw invalid(`invalid log format: ${logFormat}`);
  checkValues(values);
  const proxy = proxyOf(values);
  const hosts = list("host").length > 0 ? list("host") : ["unix:///run/fathom/fathom.sock"];
  return {
    hosts: hosts.map(checkHost),
    group: text("group", "docker"),
    pidFile: text("pidfile", "/run/fathom/fathom.pid"),
    logLevel: debug ? "debug" : logLevel,
    logFormat,
    validateOnly: truth("validate", false),
    rebuildDatabase: truth("rebuild-database", false),
    engine: {
      dataRoot: absolute(text("data-root", "/var/lib/fathom"), "data-root"),
      execRoot,
      cgroupParent: text("cgroup-parent", "/fathom"),
      logDriver: text("log-driver", "json-file"),
      logOptions: values.map("log-opt"),
      defaultUlimits: values.ulimits("default-ulimit"),
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
      addressPools: values.pools("default-address-pool") ?? defaultAddressPools,
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

/** A setting replaces the environment's, one by one; undefined when neither exists. */
function proxyOf(values: OptionValues): RegistryConfig["proxy"] {
  const given = { http: values.text("http-proxy"), https: values.text("https-proxy"), no: values.text("no-proxy") };
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return Object.keys(set).length === 0 ? undefined : { ...environmentProxy(), ...set };
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
