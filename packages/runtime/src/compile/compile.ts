/**
 * OCI configuration → launch plan. A pure function: it reads nothing of the host; `CompileOptions` has all facts that it needs.
 *
 * The order of a container's plan: namespaces to join → propagation → root → mounts → devices → console → making the working directory → making
 * paths read-only or hidden → pivot_root → names and kernel parameters → the process (see process.ts).
 */
import { EngineError } from "@fathom/base";
import type { LinuxIdMapping, OciSpec } from "@fathom/spec";
import type { CgroupView } from "./cgroup-mounts.ts";
import { deviceOperations } from "./devices.ts";
import { isPropagation } from "./mount-options.ts";
import { mountOperations } from "./mount-operations.ts";
import type { IdMapEntry, LaunchPlan, NamespaceKind, Operation, Propagation, Stem, TimeOffset } from "../plan/plan.ts";
import { namespaceKinds } from "../plan/plan.ts";
import { processOperations } from "./process.ts";
import type { SeccompArchitecture } from "../seccomp/compile.ts";
import { checkSysctl, sysctlPath } from "./sysctls.ts";
import { hookOperations, type HookPlan } from "./hooks.ts";
import { deepFreeze, hostArchitecture, terminalOf, type TerminalSize } from "./whole-plan.ts";

export type RootSource = Extract<Operation, { kind: "attach-root" }>["source"];

export interface CompileOptions {
  /** What the root file system is made of. */
  readonly rootfs: RootSource;
  /** Host directory over which it is attached, only in the container's mount namespace. */
  readonly at: string;
  /** The host's mount point in which `at` is. Needed only for containers with shared propagation: it becomes private in their namespace. */
  readonly atMountPoint?: string;
  readonly cgroup: CgroupView & {
    /** As `Cgroup.procsFiles`. */
    readonly procsFiles: readonly string[];
  };
  /** Size of the terminal when the configuration has none. */
  readonly console?: TerminalSize;
  /** Runs the program as a child of a pid 1 that reaps. Has no effect when the container has no pid 1 of its own. */
  readonly init?: boolean;
  /** Absent: a configuration with hooks is an error. */
  readonly hooks?: HookPlan;
  /** OCI create/start: the program is executed after the start message. */
  readonly waitForStart?: boolean;
  /** Directory of the configuration, for relative bind sources. */
  readonly bundle?: string;
  /** Whether the host has /proc/kcore. Default true. */
  readonly kcore?: boolean;
  /** Name of the session keyring. */
  readonly keyring?: string;
  /** The machine for which seccomp programs are made. Default: this one. */
  readonly architecture?: SeccompArchitecture;
}

/**
 * Errors: EngineError "invalid-argument" for a configuration that contradicts itself or asks for something that a container may not have;
 * "not-implemented" for members of the specification that are not supported yet. Both name the member.
 */
export function compile(spec: OciSpec, options: CompileOptions): LaunchPlan {
  refuseUnsupported(spec, options.hooks);
  const process = spec.process;
  if (!process) throw new EngineError("invalid-argument", "process: the configuration has none");
  const linux = spec.linux ?? {};
  const namespaces = readNamespaces(spec);
  if (namespaces.get("mount") !== null)
    throw new EngineError("invalid-argument", "linux.namespaces: a new mount namespace is needed");
  const own = new Set(namespaces.keys());

  const operations: Operation[] = [];
  for (const [namespace, path] of namespaces)
    if (path !== null && namespace !== "pid") operations.push({ kind: "join-namespace", namespace, path });
  operations.push(...rootOperations(spec, options));

  const last: Operation[] = [];
  const context = {
    cgroupNamespace: own.has("cgroup"),
    userNamespace: own.has("user"),
    cgroup: options.cgroup,
    ...(options.bundle === undefined ? {} : { bundle: options.bundle }),
  };
  for (const [index, mount] of (spec.mounts ?? []).entries()) {
    const made = mountOperations(mount, index, context);
    operations.push(...made.now);
    last.push(...made.last);
  }
  // When the host's own /dev is mounted there, the runtime must not make nodes.
  if (!devIsBound(spec)) {
    operations.push(
      ...deviceOperations(linux.devices ?? [], { userNamespace: own.has("user"), kcore: options.kcore ?? true }),
    );
  }
  if (process.terminal === true) operations.push({ kind: "bind-console", path: "/dev/console" });
  if (process.cwd !== "/") operations.push({ kind: "make-directory", path: process.cwd, mode: 0o755 });
  operations.push(...last);
  for (const path of linux.readonlyPaths ?? [])
    operations.push({ kind: "readonly-path", path: absolute(path, "linux.readonlyPaths") });
  for (const path of linux.maskedPaths ?? [])
    operations.push({ kind: "mask", path: absolute(path, "linux.maskedPaths") });
  if (spec.root?.readonly === true) operations.push({ kind: "readonly-root" });
  const { hooks } = options;
  if (hooks?.meeting !== undefined) operations.push({ kind: "meet", ...hooks.meeting });
  if (hooks !== undefined) operations.push(...hookOperations(spec, "createContainer", hooks.createContainer));
  operations.push({ kind: "pivot-root" });
  const propagation = rootPropagation(linux.rootfsPropagation);
  if (
    propagation === "shared" ||
    propagation === "rshared" ||
    propagation === "unbindable" ||
    propagation === "runbindable"
  )
    operations.push({ kind: "mount-attributes", target: "/", attributes: { set: [] }, propagation });

  operations.push(...nameOperations(spec, own));
  for (const [key, value] of Object.entries(linux.sysctl ?? {})) {
    checkSysctl(key, own);
    operations.push({ kind: "sysctl", key: sysctlPath(key), value });
  }
  if (namespaces.get("network") === null) operations.push({ kind: "loopback-up" });
  if (options.keyring !== undefined) operations.push({ kind: "session-keyring", name: options.keyring });
  operations.push({ kind: "new-session" });
  operations.push(
    ...processOperations(process, {
      init: options.init === true && namespaces.get("pid") === null,
      waitForStart: options.waitForStart ?? false,
      afterStart: hooks === undefined ? [] : hookOperations(spec, "startContainer", hooks.startContainer),
      architecture: options.architecture ?? hostArchitecture(),
      ...(linux.seccomp ? { seccomp: linux.seccomp } : {}),
      ...(linux.personality ? { personality: linux.personality } : {}),
    }),
  );
  return deepFreeze({
    version: 1,
    stem: stemOf(spec, namespaces, options),
    operations,
    terminal: terminalOf(process, options.console),
  });
}

function timeOffsetsOf(spec: OciSpec): TimeOffset[] {
  return Object.entries(spec.linux?.timeOffsets ?? {}).map(([clock, { secs = 0, nanosecs = 0 }]) => {
    if (clock !== "monotonic" && clock !== "boottime")
      throw new EngineError("invalid-argument", `linux.timeOffsets: there is no clock "${clock}"`);
    if (nanosecs > 999_999_999)
      throw new EngineError(
        "invalid-argument",
        `linux.timeOffsets.${clock}: ${nanosecs} nanoseconds are a second or more`,
      );
    return { clock, seconds: BigInt(secs), nanoseconds: nanosecs };
  });
}

/** Kind → null for a new namespace, a path for one to join. A missing kind means the host's namespace. In the plan's own order of kinds. */
function readNamespaces(spec: OciSpec): Map<NamespaceKind, string | null> {
  const given = new Map<NamespaceKind, string | null>();
  for (const { type, path } of spec.linux?.namespaces ?? []) {
    if (given.has(type)) throw new EngineError("invalid-argument", `linux.namespaces: "${type}" is there twice`);
    if (path !== undefined && path !== "" && !path.startsWith("/"))
      throw new EngineError("invalid-argument", `linux.namespaces: the path "${path}" is not absolute`);
    given.set(type, path === undefined || path === "" ? null : path);
  }
  return new Map(
    namespaceKinds.flatMap((kind) => {
      const path = given.get(kind);
      return path === undefined ? [] : [[kind, path] as const];
    }),
  );
}

function idMap(entries: readonly LinuxIdMapping[]): IdMapEntry[] {
  return entries.map((entry) => ({ containerId: entry.containerID, hostId: entry.hostID, size: entry.size }));
}

function stemOf(spec: OciSpec, namespaces: ReadonlyMap<NamespaceKind, string | null>, options: CompileOptions): Stem {
  const pid = namespaces.get("pid");
  const userIsNew = namespaces.get("user") === null;
  const uids = spec.linux?.uidMappings ?? [];
  const gids = spec.linux?.gidMappings ?? [];
  if (userIsNew && (uids.length === 0 || gids.length === 0))
    throw new EngineError(
      "invalid-argument",
      "linux.uidMappings and linux.gidMappings: a new user namespace needs both",
    );
  const timeOffsets = timeOffsetsOf(spec);
  if (timeOffsets.length > 0 && namespaces.get("time") !== null)
    throw new EngineError("invalid-argument", "linux.timeOffsets: they need a new time namespace");
  return {
    ...(timeOffsets.length === 0 ? {} : { timeOffsets }),
    newNamespaces: [...namespaces].flatMap(([kind, path]) => (path === null ? [kind] : [])),
    cgroupProcs: [...options.cgroup.procsFiles],
    ...(pid ? { joinPidNamespace: pid } : {}),
    ...(userIsNew ? { uidMap: idMap(uids), gidMap: idMap(gids) } : {}),
  };
}

function rootOperations(spec: OciSpec, options: CompileOptions): Operation[] {
  // A slave of the host: an unmount on the host also happens here, but mounts made here stay here.
  const propagation = rootPropagation(spec.linux?.rootfsPropagation) ?? "rslave";
  const operations: Operation[] = [{ kind: "root-propagation", propagation }];
  if (propagation === "shared" || propagation === "rshared") {
    if (options.atMountPoint === undefined)
      throw new EngineError("internal", "compile: atMountPoint is needed for a container with shared propagation");
    operations.push({ kind: "root-propagation", propagation: "private", path: options.atMountPoint });
  }
  operations.push({ kind: "attach-root", source: structuredClone(options.rootfs), at: options.at });
  return operations;
}

function rootPropagation(text: string | undefined): Propagation | undefined {
  if (text === undefined || text === "") return undefined;
  if (!isPropagation(text))
    throw new EngineError("invalid-argument", `linux.rootfsPropagation: "${text}" is no propagation`);
  return text;
}

function nameOperations(spec: OciSpec, own: ReadonlySet<NamespaceKind>): Operation[] {
  const operations: Operation[] = [];
  const { hostname = "", domainname = "" } = spec;
  if ((hostname !== "" || domainname !== "") && !own.has("uts"))
    throw new EngineError(
      "invalid-argument",
      "hostname, domainname: they need a uts namespace, or would rename the host",
    );
  if (hostname !== "") operations.push({ kind: "set-hostname", name: hostname });
  if (domainname !== "") operations.push({ kind: "set-domainname", name: domainname });
  return operations;
}

function devIsBound(spec: OciSpec): boolean {
  return (spec.mounts ?? []).some(
    (mount) =>
      /^\/*dev\/*$/.test(mount.destination) &&
      (mount.type === "bind" || (mount.options ?? []).some((word) => word === "bind" || word === "rbind")),
  );
}

function absolute(path: string, where: string): string {
  if (!path.startsWith("/") || path.includes("\0"))
    throw new EngineError("invalid-argument", `${where}: "${path}" is not an absolute path`);
  return path;
}

/** Members that are not supported yet. */
function refuseUnsupported(spec: OciSpec, hooks: HookPlan | undefined): void {
  const { linux } = spec;
  const later = {
    hooks:
      hooks === undefined && Object.values(spec.hooks ?? {}).some((list) => (list?.length ?? 0) > 0)
        ? spec.hooks
        : undefined,
    "linux.mountLabel": linux?.mountLabel,
    "linux.intelRdt": linux?.intelRdt,
    "linux.memoryPolicy": linux?.memoryPolicy,
    "linux.netDevices": linux?.netDevices,
  };
  for (const [name, value] of Object.entries(later)) {
    const empty = value === undefined || value === null || value === "" || Object.keys(Object(value)).length === 0;
    if (!empty) throw new EngineError("not-implemented", `${name}: not supported yet`);
  }
}
