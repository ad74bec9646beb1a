/**
 * A launch plan for people. It contains everything except the instructions of a seccomp program. Values of environment variables are printed
 * unchanged.
 */
import { evaluateDeviceRules, formatException, type DeviceAccess } from "../cgroups/device-access.ts";
import type { Resources } from "../cgroups/contract.ts";
import { describeOperation } from "./describe-operation.ts";
import type { LaunchPlan, Operation, OperationKind, Stem } from "./plan.ts";

const groups = {
  root: "Root file system",
  mounts: "What is mounted in it",
  devices: "Devices and links",
  hidden: "Hidden and read-only paths",
  names: "Names and kernel parameters",
  rights: "Limits, identity and rights of the process",
  program: "The program",
} as const;
type Group = keyof typeof groups;

const groupOf: Readonly<Record<OperationKind, Group>> = {
  "join-namespace": "root",
  "join-process": "root",
  meet: "hidden",
  hook: "hidden",
  "root-propagation": "root",
  "attach-root": "root",
  mount: "mounts",
  bind: "mounts",
  "mount-attributes": "mounts",
  "make-directory": "devices",
  "make-node": "devices",
  "make-symlink": "devices",
  "bind-console": "devices",
  mask: "hidden",
  "readonly-path": "hidden",
  "readonly-root": "hidden",
  "pivot-root": "hidden",
  chroot: "hidden",
  sysctl: "names",
  "set-hostname": "names",
  "set-domainname": "names",
  "loopback-up": "names",
  rlimit: "rights",
  "oom-score-adj": "rights",
  scheduler: "rights",
  "io-priority": "rights",
  "cpu-affinity": "rights",
  umask: "rights",
  personality: "rights",
  "session-keyring": "rights",
  "new-session": "rights",
  "set-user": "rights",
  "bounding-set": "rights",
  capabilities: "rights",
  "no-new-privileges": "rights",
  seccomp: "rights",
  "working-directory": "rights",
  "find-program": "program",
  "wait-start": "program",
  exec: "program",
};

/** Links outside of /dev are listed with the mount that contains them. */
function groupOfOperation(operation: Operation): Group {
  if (operation.kind === "make-symlink" && !operation.path.startsWith("/dev/")) return "mounts";
  return groupOf[operation.kind];
}

/** What is done to the process from outside, and so is not in its plan. */
export interface Surroundings {
  /** Written to its cgroups. */
  readonly resources?: Resources;
  /** One line each. */
  readonly network?: readonly string[];
}

/** The plan as text: one numbered line per operation, in the order of execution, with a heading where the subject changes. */
export function explain(plan: LaunchPlan, around: Surroundings = {}): string {
  const lines = ["A new process", ...describeStem(plan.stem).map((line) => `      ${line}`)];
  if (plan.terminal !== null) {
    const { rows, columns } = plan.terminal;
    lines.push(`      with a terminal${rows > 0 ? ` of ${columns} columns and ${rows} rows` : ""}`);
  }
  const sections = [
    ["What it may use", around.resources === undefined ? [] : describeResources(around.resources)],
    ["Network, attached before the program starts", around.network ?? []],
  ] as const;
  for (const [heading, all] of sections)
    if (all.length > 0) lines.push("", heading, ...all.map((line) => `      ${line}`));
  let group: Group | undefined;
  for (const [index, operation] of plan.operations.entries()) {
    const own = groupOfOperation(operation);
    if (own !== group) lines.push("", groups[own]);
    group = own;
    const [first, ...rest] = describeOperation(operation).split("\n");
    lines.push(`${String(index + 1).padStart(4)}. ${first}`, ...rest.map((line) => `        ${line}`));
  }
  return lines.join("\n") + "\n";
}

function describeStem(stem: Stem): string[] {
  const lines = [
    stem.newNamespaces.length === 0
      ? "in the namespaces that it is started in"
      : `in new namespaces of its own: ${stem.newNamespaces.join(", ")}`,
  ];
  if (stem.joinPidNamespace !== undefined) lines.push(`among the processes of ${stem.joinPidNamespace}`);
  lines.push(...describeCgroups(stem.cgroupProcs.map((file) => file.replace(/\/(?:cgroup\.procs|tasks)$/, ""))));
  const maps = [
    ["users", stem.uidMap ?? []],
    ["groups", stem.gidMap ?? []],
  ] as const;
  for (const [what, map] of maps)
    for (const { containerId, hostId, size } of map)
      lines.push(
        `${what} ${containerId}–${containerId + size - 1} inside are ${hostId}–${hostId + size - 1} on the host`,
      );
  return lines;
}

/** On v1 a cgroup is a directory in every hierarchy: these paths differ only in the hierarchy's name. */
function describeCgroups(directories: readonly string[]): string[] {
  const [first, ...others] = directories.map((directory) => directory.split("/"));
  if (first === undefined) return [];
  const at = first.findIndex((segment, i) => others.some((other) => other[i] !== segment));
  const rest = (segments: readonly string[]): string => segments.toSpliced(at, 1).join("/");
  if (at < 0 || others.some((other) => rest(other) !== rest(first)))
    return directories.map((directory) => `limited and counted by the cgroup ${directory}`);
  const names = [first, ...others].map((segments) => segments[at]!).toSorted();
  return [
    `limited and counted by the cgroup /${first.slice(at + 1).join("/")}`,
    `  in each hierarchy of ${first.slice(0, at).join("/")}: ${names.join(" ")}`,
  ];
}

const sizeUnits = ["bytes", "KiB", "MiB", "GiB", "TiB"] as const;

function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && value % 1024 === 0 && unit < sizeUnits.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value} ${sizeUnits[unit]!}`;
}

function describeResources(resources: Resources): string[] {
  const { memorySwapBytes: swap, pids, cpuQuotaUs: quota, cpuPeriodUs: period = 100_000 } = resources;
  const line = (value: number | string | undefined, text: (value: string) => string): string[] =>
    value === undefined || value === 0 || value === "" ? [] : [text(String(value))];
  const size = (bytes: number | undefined, text: (value: string) => string): string[] =>
    bytes === undefined || bytes <= 0 ? [] : [text(sizeText(bytes))];
  return [
    ...size(resources.memoryBytes, (value) => `at most ${value} of memory`),
    ...(swap === -1 ? ["swap without a limit"] : size(swap, (value) => `at most ${value} of memory and swap together`)),
    ...size(resources.memoryReservationBytes, (value) => `${value} of memory when the machine has little left`),
    ...(resources.memorySwappiness === undefined ? [] : [`swappiness ${resources.memorySwappiness}`]),
    ...(resources.oomKillDisable === true ? ["not killed at the memory limit: it waits there"] : []),
    ...(quota === undefined || quota <= 0
      ? []
      : [`at most ${Number((quota / period).toFixed(3))} CPUs: ${quota} µs of each ${period} µs`]),
    ...line(resources.cpuShares, (value) => `CPU weight ${value}, where 1024 is usual`),
    ...line(resources.cpusetCpus, (value) => `on the CPUs ${value} alone`),
    ...line(resources.cpusetMems, (value) => `with the memory nodes ${value} alone`),
    ...(pids === undefined || pids <= 0 ? [] : [`at most ${pids} processes and threads`]),
    ...line(resources.blkioWeight, (value) => `block I/O weight ${value}`),
    ...(resources.devices === undefined ? [] : describeDevices(evaluateDeviceRules(resources.devices))),
  ];
}

/** In the form of the kernel's rules: type, major:minor, and r(ead), w(rite), m(ake). */
function describeDevices({ defaultAllow, exceptions }: DeviceAccess): string[] {
  const rules = exceptions.map(formatException).join(", ");
  if (rules === "") return [defaultAllow ? "all devices" : "no device"];
  return [`${defaultAllow ? "all devices but" : "of devices only"} ${rules}`];
}
