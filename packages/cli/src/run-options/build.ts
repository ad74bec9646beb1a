/**
 * Makes the API's create request from the flags of `create` and `run`. Wrong combinations are rejected here, in docker's words. The daemon
 * checks everything else.
 */
import { resolve } from "node:path";
import type { ContainerCreateBody, HostConfig } from "@fathom/spec";
import type { ParsedFlags } from "../grammar/flags.ts";
import { PlainError } from "../grammar/plain-error.ts";
import { environmentOf, keyValueMap, labelsOf, securityOptions } from "./files.ts";
import { parseMount } from "./mount.ts";
import { parseExpose, parsePublish } from "./ports.ts";
import { parseAddHost, parseBytes, parseDuration, parseIpAddress, parseNanoCpus, parseUlimit } from "./values.ts";
import { networkOf } from "./networks.ts";
import { deviceLimitsOf } from "./device-limits.ts";
import { restartPolicyOf } from "./restart-policy.ts";

export interface BuildInput {
  readonly flags: ParsedFlags;
  readonly image: string;
  readonly command: readonly string[];
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** `run -d`. */
  readonly detach: boolean;
  readonly consoleSize: readonly [number, number] | undefined;
}

export function buildCreateRequest(input: BuildInput): ContainerCreateBody {
  const { flags, image, command } = input;
  const attach = attachedStreams(input);
  const interactive = flags.bool("interactive");
  const ports = publishedPorts(flags);
  const volumes = splitVolumes(flags.list("volume"));
  const network = networkOf(flags);
  const stopTimeout = flags.changed("stop-timeout") ? flags.int("stop-timeout") : undefined;
  const entrypoint = flags.changed("entrypoint")
    ? flags.string("entrypoint") === ""
      ? [""]
      : [flags.string("entrypoint")]
    : undefined;
  const health = healthcheckOf(flags);

  return {
    Hostname: flags.string("hostname"),
    Domainname: flags.string("domainname"),
    User: flags.string("user"),
    AttachStdin: attach.stdin,
    AttachStdout: attach.stdout,
    AttachStderr: attach.stderr,
    ExposedPorts: ports.exposed,
    Tty: flags.bool("tty"),
    OpenStdin: interactive,
    StdinOnce: interactive && attach.stdin,
    Env: environmentOf(flags.list("env-file"), flags.list("env"), input.variables),
    Cmd: command.length === 0 ? null : [...command],
    Image: image,
    Volumes: volumes.anonymous,
    WorkingDir: flags.string("workdir"),
    ...(entrypoint === undefined ? {} : { Entrypoint: entrypoint }),
    ...(health === undefined ? {} : { Healthcheck: health }),
    Labels: labelsOf(flags.list("label-file"), flags.list("label")),
    ...(flags.string("stop-signal") === "" ? {} : { StopSignal: flags.string("stop-signal") }),
    ...(stopTimeout === undefined ? {} : { StopTimeout: stopTimeout }),
    HostConfig: hostConfigOf(input, ports.bindings, volumes.binds, network.mode),
    NetworkingConfig: { EndpointsConfig: network.endpoints },
  };
}

function attachedStreams({ flags, detach }: BuildInput): { stdin: boolean; stdout: boolean; stderr: boolean } {
  const named = flags.list("attach").map((name) => name.toLowerCase());
  if (detach) {
    if (named.length > 0) throw new PlainError("conflicting options: cannot specify both --attach and --detach");
    return { stdin: false, stdout: false, stderr: false };
  }
  if (named.length > 0)
    return { stdin: named.includes("stdin"), stdout: named.includes("stdout"), stderr: named.includes("stderr") };
  return { stdin: flags.bool("interactive"), stdout: true, stderr: true };
}

type PortBindings = NonNullable<HostConfig["PortBindings"]>;

function publishedPorts(flags: ParsedFlags): {
  exposed: Record<string, Record<string, never>>;
  bindings: PortBindings;
} {
  const exposed: Record<string, Record<string, never>> = {};
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const text of flags.list("publish")) {
    for (const { port, hostIp, hostPort } of parsePublish(text)) {
      exposed[port] = {};
      (bindings[port] ??= []).push({ HostIp: hostIp, HostPort: hostPort });
    }
  }
  for (const text of flags.list("expose")) for (const port of parseExpose(text)) exposed[port] = {};
  return { exposed, bindings };
}

/** `-v /data` is an anonymous volume. A value with a source is a bind. A relative source becomes absolute. */
function splitVolumes(given: readonly string[]): { anonymous: Record<string, Record<string, never>>; binds: string[] } {
  const anonymous: Record<string, Record<string, never>> = {};
  const binds: string[] = [];
  for (const text of given) {
    const parts = text.split(":");
    if (parts.length === 1) anonymous[text] = {};
    else {
      const [source, ...rest] = parts;
      // As in docker: a source that begins with a dot is a path. Any other is absolute, or the name of a volume.
      const path = source!.startsWith(".") ? resolve(source!) : source!;
      binds.push([path, ...rest].join(":"));
    }
  }
  return { anonymous, binds };
}

function healthcheckOf(flags: ParsedFlags): ContainerCreateBody["Healthcheck"] {
  const names = [
    "health-cmd",
    "health-interval",
    "health-timeout",
    "health-retries",
    "health-start-period",
    "health-start-interval",
  ];
  const given = names.some((name) => flags.changed(name));
  if (flags.bool("no-healthcheck")) {
    if (given) throw new Error("--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  if (!given) return undefined;
  const duration = (name: string): number => (flags.string(name) === "" ? 0 : parseDuration(flags.string(name)));
  for (const name of ["health-interval", "health-timeout", "health-start-period", "health-start-interval"])
    if (duration(name) < 0) throw new Error(`--${name} cannot be negative`);
  if (flags.int("health-retries") < 0) throw new Error("--health-retries cannot be negative");
  return {
    ...(flags.changed("health-cmd") ? { Test: ["CMD-SHELL", flags.string("health-cmd")] } : {}),
    Interval: duration("health-interval"),
    Timeout: duration("health-timeout"),
    StartPeriod: duration("health-start-period"),
    StartInterval: duration("health-start-interval"),
    Retries: flags.int("health-retries"),
  };
}

function restartOf(flags: ParsedFlags): ReturnType<typeof restartPolicyOf> {
  const text = flags.string("restart");
  if (flags.bool("rm") && text !== "no" && text !== "")
    throw new Error("conflicting options: cannot specify both --restart and --rm");
  return restartPolicyOf(text);
}

function deviceOf(text: string): { PathOnHost: string; PathInContainer: string; CgroupPermissions: string } {
  const [host = "", second, third, ...more] = text.split(":");
  if (host === "" || more.length > 0) throw new Error(`invalid device specification: ${text}`);
  const isMode = (word: string): boolean => /^[rwm]{1,3}$/.test(word);
  if (third !== undefined && !isMode(third)) throw new Error(`bad mode specified: ${third}`);
  const secondIsMode = third === undefined && second !== undefined && isMode(second);
  return {
    PathOnHost: host,
    PathInContainer: second === undefined || second === "" || secondIsMode ? host : second,
    CgroupPermissions: third ?? (secondIsMode ? second : "rwm"),
  };
}

function tmpfsOf(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const colon = text.indexOf(":");
      return colon < 0 ? [text, ""] : [text.slice(0, colon), text.slice(colon + 1)];
    }),
  );
}

/** A field without a value is null in the request, as in docker's. */
function listOrNull<T>(list: readonly T[]): T[] | null {
  return list.length === 0 ? null : [...list];
}

/** "net_admin" becomes CAP_NET_ADMIN; ALL stays. */
function capabilityName(text: string): string {
  const name = text.toUpperCase();
  return name === "ALL" || name.startsWith("CAP_") ? name : `CAP_${name}`;
}

function hostConfigOf(
  input: BuildInput,
  portBindings: PortBindings,
  binds: string[],
  networkMode: string,
): Partial<HostConfig> {
  const { flags } = input;
  const bytes = (name: string): number =>
    flags.string(name) === "" ? 0 : flags.string(name) === "-1" ? -1 : parseBytes(flags.string(name));
  const swappiness = flags.int("memory-swappiness");
  if (swappiness !== -1 && (swappiness < 0 || swappiness > 100))
    throw new Error(`invalid value: ${swappiness}. Valid memory swappiness range is 0-100`);
  return {
    Binds: listOrNull(binds),
    ContainerIDFile: flags.string("cidfile"),
    LogConfig: { Type: flags.string("log-driver"), Config: keyValueMap(flags.list("log-opt")) },
    NetworkMode: networkMode,
    PortBindings: portBindings,
    RestartPolicy: restartOf(flags),
    AutoRemove: flags.bool("rm"),
    VolumeDriver: flags.string("volume-driver"),
    VolumesFrom: listOrNull(flags.list("volumes-from")),
    ConsoleSize: [...(input.consoleSize ?? [0, 0])],
    ...(flags.list("annotation").length === 0 ? {} : { Annotations: keyValueMap(flags.list("annotation")) }),
    CapAdd: listOrNull(flags.list("cap-add").map(capabilityName)),
    CapDrop: listOrNull(flags.list("cap-drop").map(capabilityName)),
    CgroupnsMode: flags.string("cgroupns"),
    Dns: flags.list("dns").map(parseIpAddress),
    DnsOptions: [...flags.list("dns-option"), ...flags.list("dns-opt")],
    DnsSearch: [...flags.list("dns-search")],
    ExtraHosts: listOrNull(flags.list("add-host").map(parseAddHost)),
    GroupAdd: listOrNull(flags.list("group-add")),
    IpcMode: flags.string("ipc"),
    Cgroup: "",
    Links: listOrNull(flags.list("link")),
    OomScoreAdj: flags.int("oom-score-adj"),
    PidMode: flags.string("pid"),
    Privileged: flags.bool("privileged"),
    PublishAllPorts: flags.bool("publish-all"),
    ReadonlyRootfs: flags.bool("read-only"),
    SecurityOpt: listOrNull(securityOptions(flags.list("security-opt"))),
    StorageOpt: keyValueMap(flags.list("storage-opt")),
    Tmpfs: tmpfsOf(flags.list("tmpfs")),
    UTSMode: flags.string("uts"),
    UsernsMode: flags.string("userns"),
    ShmSize: bytes("shm-size"),
    Sysctls: keyValueMap(flags.list("sysctl")),
    ...(flags.string("runtime") === "" ? {} : { Runtime: flags.string("runtime") }),
    CpuShares: flags.int("cpu-shares"),
    Memory: bytes("memory"),
    NanoCpus: flags.string("cpus") === "" ? 0 : parseNanoCpus(flags.string("cpus")),
    CgroupParent: flags.string("cgroup-parent"),
    BlkioWeight: flags.int("blkio-weight"),
    ...deviceLimitsOf(flags),
    CpuRealtimePeriod: flags.int("cpu-rt-period"),
    CpuRealtimeRuntime: flags.int("cpu-rt-runtime"),
    CpuPeriod: flags.int("cpu-period"),
    CpuQuota: flags.int("cpu-quota"),
    CpusetCpus: flags.string("cpuset-cpus"),
    CpusetMems: flags.string("cpuset-mems"),
    Devices: flags.list("device").map(deviceOf),
    DeviceCgroupRules: [...flags.list("device-cgroup-rule")],
    MemoryReservation: bytes("memory-reservation"),
    MemorySwap: bytes("memory-swap"),
    MemorySwappiness: swappiness,
    OomKillDisable: flags.bool("oom-kill-disable"),
    PidsLimit: flags.int("pids-limit"),
    Ulimits: flags.list("ulimit").map(parseUlimit),
    ...(flags.changed("init") ? { Init: flags.bool("init") } : {}),
    ...(flags.list("mount").length === 0 ? {} : { Mounts: flags.list("mount").map(parseMount) }),
  };
}
