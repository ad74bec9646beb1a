/**
 * A launch plan for people (`explain`) and for programs (`planToJson`). Nothing is left out but the instructions of a
 * seccomp program; values of environment variables are printed as they are.
 */
import { unreachable } from "@fathom/base";
import { capabilitiesOf } from "../compile/capabilities.ts";
import { evaluateDeviceRules, formatException, type DeviceAccess } from "../cgroups/device-access.ts";
import type { Resources } from "../contract.ts";
import type { LaunchPlan, MountAttributes, Operation, OperationKind, Propagation, Stem } from "./plan.ts";

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
  "wait-start": "program",
  exec: "program",
};

/** Links outside of /dev belong to the mounts that they lie in. */
function groupOfOperation(operation: Operation): Group {
  if (operation.kind === "make-symlink" && !operation.path.startsWith("/dev/")) return "mounts";
  return groupOf[operation.kind];
}

/** What is done to the process from outside, and so is not in its plan. */
export interface Surroundings {
  /** Written to its cgroups. */
  readonly resources?: Resources;
  /** A line each. */
  readonly network?: readonly string[];
}

/** The plan as text: one numbered line an operation, in the order of execution, under a heading where the subject changes. */
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

/** On v1 a cgroup is a directory in every hierarchy: these differ in the hierarchy's name alone. */
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

/** As the kernel's rules: type, major:minor, and r(ead), w(rite), m(ake). */
function describeDevices({ defaultAllow, exceptions }: DeviceAccess): string[] {
  const rules = exceptions.map(formatException).join(", ");
  if (rules === "") return [defaultAllow ? "all devices" : "no device"];
  return [`${defaultAllow ? "all devices but" : "of devices only"} ${rules}`];
}

/** One operation in words. Lines after the first are details. Also used in error messages: "mount proc on /proc …". */
export function describeOperation(operation: Operation): string {
  switch (operation.kind) {
    case "join-namespace":
      return `join the ${operation.namespace} namespace ${operation.path}`;
    case "root-propagation":
      return `${operation.path === undefined ? "host mounts seen here" : `the mount ${operation.path}`}: ${propagationText(operation.propagation)}`;
    case "attach-root":
      return describeRoot(operation);
    case "mount": {
      const options = operation.options.map((pair) => pair.join("=")).join(",");
      return (
        `mount a new ${operation.type}${operation.source === operation.type ? "" : ` ("${operation.source}")`} on ${operation.target}` +
        attributesText(operation.attributes) +
        (options === "" ? "" : `, options ${options}`) +
        (operation.copyUp === true ? ", filled with what the image has there" : "") +
        (operation.propagation === undefined ? "" : `, ${propagationText(operation.propagation)}`)
      );
    }
    case "bind":
      return (
        `show ${operation.sourceInRoot === true ? "the container's" : "the host's"} ${operation.source}${operation.subpath === undefined ? "" : `, and of it ${operation.subpath},`} at ${operation.target}` +
        (operation.recursive ? "" : ", without what is mounted below it") +
        attributesText(operation.attributes) +
        (operation.propagation === undefined ? "" : `, ${propagationText(operation.propagation)}`)
      );
    case "mount-attributes":
      return (
        `change the mount ${operation.target}` +
        attributesText(operation.attributes) +
        (operation.propagation === undefined ? "" : `, ${propagationText(operation.propagation)}`)
      );
    case "make-directory":
      return `make the directory ${operation.path} if it is missing, mode ${octal(operation.mode)}${ownerText(operation.uid, operation.gid)}`;
    case "make-node":
      return (
        `make the ${operation.type === "fifo" ? "FIFO" : `${operation.type} device`} ${operation.path}` +
        (operation.type === "fifo" ? "" : ` (${operation.major}:${operation.minor})`) +
        `, mode ${octal(operation.mode)}${ownerText(operation.uid, operation.gid)}`
      );
    case "make-symlink":
      return `link ${operation.path} to ${operation.target}`;
    case "bind-console":
      return `put the terminal at ${operation.path}`;
    case "mask":
      return `hide ${operation.path}`;
    case "readonly-path":
      return `make ${operation.path} read-only`;
    case "readonly-root":
      return "make the root file system read-only";
    case "pivot-root":
      return "make it the root, and let go of the host's (pivot_root)";
    case "chroot":
      return "make it the root (chroot)";
    case "sysctl":
      return `set the kernel parameter ${operation.key} to ${JSON.stringify(operation.value)}`;
    case "set-hostname":
      return `set the host name to ${operation.name}`;
    case "set-domainname":
      return `set the NIS domain name to ${operation.name}`;
    case "loopback-up":
      return "bring the loopback interface up";
    case "rlimit":
      return `limit ${operation.resource} to ${limitText(operation.soft)} (at most ${limitText(operation.hard)})`;
    case "oom-score-adj":
      return `set the out-of-memory score adjustment to ${operation.value}`;
    case "umask":
      return `set the umask to ${octal(operation.mask)}`;
    case "personality":
      return `set the personality to 0x${operation.persona.toString(16)}`;
    case "session-keyring":
      return `start with an empty session keyring named ${operation.name}`;
    case "new-session":
      return "start a session of its own";
    case "set-user":
      return `become user ${operation.uid}, group ${operation.gid}${operation.groups.length === 0 ? "" : `, further groups ${operation.groups.join(", ")}`}`;
    case "bounding-set":
      return operation.keep === 0n
        ? "give up all capabilities for good"
        : `keep no more than the capabilities ${capabilitiesText(operation.keep)}; give the others up for good`;
    case "capabilities":
      return describeCapabilities(operation);
    case "no-new-privileges":
      return "gain no rights from set-uid programs from here on (no_new_privs)";
    case "seccomp":
      return `filter system calls with a seccomp program of ${operation.program.length / 8} instructions`;
    case "working-directory":
      return `go to ${operation.path}${operation.create ? ", made if it is missing" : ""}`;
    case "wait-start":
      return "wait to be started";
    case "exec":
      return describeExec(operation);
    default:
      return unreachable(operation);
  }
}

function describeRoot(operation: Extract<Operation, { kind: "attach-root" }>): string {
  const { source } = operation;
  if (source.kind === "directory") return `take the directory ${source.path} as root, at ${operation.at}`;
  const lines = [`lay the image's layers over each other as root (overlay), at ${operation.at}`];
  if (source.upper !== undefined) lines.push(`writes go to ${source.upper}`);
  lines.push(...source.lower.map((path) => `layer ${path}`));
  return lines.join("\n");
}

function describeCapabilities(operation: Extract<Operation, { kind: "capabilities" }>): string {
  const { effective, permitted, inheritable, ambient } = operation;
  let text = permitted === 0n ? "hold no capability" : `hold the capabilities ${capabilitiesText(permitted)}`;
  if (effective !== permitted) text += `; in effect ${capabilitiesText(effective)}`;
  if (inheritable !== 0n) text += `; inheritable ${capabilitiesText(inheritable)}`;
  if (ambient !== 0n) text += `; ambient ${capabilitiesText(ambient)}`;
  return text;
}

function describeExec(operation: Extract<Operation, { kind: "exec" }>): string {
  const lines = [
    `execute ${operation.argv.map(quote).join(" ")}${operation.init === true ? ", as child of a small init" : ""}`,
  ];
  if (operation.candidates.length !== 1 || operation.candidates[0] !== operation.argv[0])
    lines.push(`looked for at ${operation.candidates.join(", ") || "no place: PATH is empty"}`);
  lines.push(...operation.env.map((entry) => `env ${entry.replaceAll("\n", String.raw`\n`)}`));
  return lines.join("\n");
}

function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

function ownerText(uid = 0, gid = 0): string {
  return uid === 0 && gid === 0 ? "" : `, owner ${uid}:${gid}`;
}

function limitText(value: bigint): string {
  return value === 0xffff_ffff_ffff_ffffn ? "unlimited" : String(value);
}

const attributeText: Readonly<Record<string, string>> = { readonly: "read-only" };

function attributesText(attributes: MountAttributes): string {
  const set = attributes.set.map((name) => attributeText[name] ?? name);
  const clear = (attributes.clear ?? []).map((name) => `not ${attributeText[name] ?? name}`);
  const all = [...set, ...clear];
  return all.length === 0 ? "" : `, ${all.join(", ")}${attributes.recursive === true ? " (with all below it)" : ""}`;
}

function propagationText(propagation: Propagation): string {
  const kind = propagation.replace(/^r(?=private|slave|shared|unbindable)/, "");
  const meaning: Readonly<Record<string, string>> = {
    private: "later mounts neither come in nor go out",
    slave: "later mounts of the host come in, none goes out",
    shared: "later mounts come in and go out",
    unbindable: "cannot be bound elsewhere",
  };
  return `${meaning[kind] ?? kind} (${propagation})`;
}

function capabilitiesText(mask: bigint): string {
  const names = capabilitiesOf(mask).map((name) => name.replace(/^CAP_/, "").toLowerCase());
  return names.length === 0 ? "none" : names.join(" ");
}

/** The plan as JSON: 64-bit numbers as decimal text, capability masks as lists of names, a seccomp program as its instructions in hex. */
export function planToJson(plan: LaunchPlan): string {
  return JSON.stringify(
    { ...plan, operations: plan.operations.map(operationToJson) },
    (_key, value: unknown) => (typeof value === "bigint" ? value.toString() : value),
    2,
  );
}

function operationToJson(operation: Operation): object {
  switch (operation.kind) {
    case "bounding-set":
      return { ...operation, keep: capabilitiesOf(operation.keep) };
    case "capabilities":
      return {
        kind: operation.kind,
        effective: capabilitiesOf(operation.effective),
        permitted: capabilitiesOf(operation.permitted),
        inheritable: capabilitiesOf(operation.inheritable),
        ambient: capabilitiesOf(operation.ambient),
      };
    case "seccomp":
      return {
        ...operation,
        program: Array.from({ length: operation.program.length / 8 }, (_, index) =>
          Buffer.from(operation.program.subarray(index * 8, index * 8 + 8)).toString("hex"),
        ),
      };
    default:
      return operation;
  }
}
