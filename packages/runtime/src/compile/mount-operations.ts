/** One OCI mount → the operations that make it. */
import { posix } from "node:path";
import { EngineError } from "@fathom/base";
import type { OciMount } from "@fathom/spec";
import { cgroupMountOperations, type CgroupView } from "./cgroup-mounts.ts";
import { parseMountOptions, type ParsedMountOptions } from "./mount-options.ts";
import type { IdMapEntry, MountAttributes, MountIdMap, Operation, Propagation } from "../plan/plan.ts";

export interface MountContext {
  /** Relative bind sources are below this directory. */
  readonly bundle?: string;
  readonly cgroupNamespace: boolean;
  readonly cgroup: CgroupView;
  /** The container has one of its own, or joins one. */
  readonly userNamespace?: boolean;
}

/**
 * Below /proc only these may be mount targets: the files of lxcfs, and two settings. At other places a mount could fake what the engine itself
 * reads.
 */
const mountableInProc: ReadonlySet<string> = new Set(
  ["cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo"]
    .map((name) => `/proc/${name}`)
    .concat("/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled"),
);

/** The operations, and those that must come after all mounts and files are made (a file system that becomes read-only). */
export interface MountOperations {
  readonly now: readonly Operation[];
  readonly last: readonly Operation[];
}

export function mountOperations(mount: OciMount, index: number, context: MountContext): MountOperations {
  const where = `mounts[${index}] (${mount.destination})`;
  const target = cleanTarget(mount.destination, where);
  const options = parseMountOptions(mount.options ?? [], where);
  const bind = options.bind || mount.type === "bind" || mount.type === "rbind";
  checkProc(target, mount, bind);
  const ids = idMapOf(mount, options, context, where);
  if (ids.idMap !== undefined && (options.remount || /^cgroup2?$/.test(mount.type ?? "")))
    throw new EngineError("invalid-argument", `${where}: the owners of this mount cannot be mapped`);
  if (options.remount)
    return {
      now: [{ kind: "mount-attributes", target, attributes: ownAttributes(options) }, ...further(target, options)],
      last: [],
    };
  if (bind) return { now: bindOperations(target, mount, options, context, where, ids), last: [] };
  if (mount.type === "cgroup" || mount.type === "cgroup2") return cgroupMountOperations(target, options, context);
  return newMountOperations(target, mount, options, where, ids);
}

type MountIds = { readonly idMap?: MountIdMap };

/** The maps of the mount; else, with an option word, those of the container. */
function idMapOf(mount: OciMount, options: ParsedMountOptions, context: MountContext, where: string): MountIds {
  const { uidMappings = [], gidMappings = [] } = mount;
  const own = uidMappings.length > 0 || gidMappings.length > 0;
  if (!own && options.idMap === undefined) return {};
  if (context.userNamespace === true)
    throw new EngineError(
      "not-implemented",
      `${where}: id-mapped mounts of a container with a user namespace are not supported yet`,
    );
  if (uidMappings.length === 0 || gidMappings.length === 0)
    throw new EngineError("invalid-argument", `${where}: an id-mapped mount needs uidMappings and gidMappings`);
  const entries = (list: typeof uidMappings): IdMapEntry[] =>
    list.map(({ containerID, hostID, size }) => ({ containerId: containerID, hostId: hostID, size }));
  return {
    idMap: { uids: entries(uidMappings), gids: entries(gidMappings), recursive: options.idMap === "tree" },
  };
}

function cleanTarget(destination: string, where: string): string {
  if (destination.includes("\0"))
    throw new EngineError("invalid-argument", `${where}: the destination holds a NUL byte`);
  // Old configurations have relative destinations; they are relative to the root.
  const target = posix
    .normalize(`/${destination}`)
    .replace(/^\/+/, "/")
    .replace(/(?<=.)\/$/, "");
  if (target.length >= 4096)
    throw new EngineError("invalid-argument", `${where}: the destination is longer than 4095 bytes`);
  return target;
}

function checkProc(target: string, mount: OciMount, bind: boolean): void {
  if (target === "/proc") {
    if (bind ? !/^\/proc(\/|$)/.test(mount.source ?? "") : mount.type !== "proc")
      throw new EngineError("invalid-argument", `"${target}" cannot be mounted because it is not of type proc`);
  } else if (target.startsWith("/proc/") && !mountableInProc.has(target)) {
    throw new EngineError("invalid-argument", `"${target}" cannot be mounted because it is inside /proc`);
  }
}

function ownAttributes(options: ParsedMountOptions): MountAttributes {
  return options.clear.length === 0 ? { set: options.set } : { set: options.set, clear: options.clear };
}

/** Operations for what one mount call cannot do: attributes for the whole tree as well as the mount's own, and more than one propagation. */
function further(target: string, options: ParsedMountOptions, skipRecursive = false): Operation[] {
  const operations: Operation[] = [];
  const { recursiveSet: set, recursiveClear: clear } = options;
  if (!skipRecursive && set.length + clear.length > 0)
    operations.push({ kind: "mount-attributes", target, attributes: { set, clear, recursive: true } });
  for (const propagation of options.propagation.slice(1))
    operations.push({ kind: "mount-attributes", target, attributes: { set: [] }, propagation });
  return operations;
}

function firstPropagation(options: ParsedMountOptions): { propagation?: Propagation } {
  const first = options.propagation[0];
  return first === undefined ? {} : { propagation: first };
}

function bindOperations(
  target: string,
  mount: OciMount,
  options: ParsedMountOptions,
  context: MountContext,
  where: string,
  ids: MountIds,
): Operation[] {
  if (mount.source === undefined || mount.source === "")
    throw new EngineError("invalid-argument", `${where}: a bind mount needs a source`);
  if (!mount.source.startsWith("/") && context.bundle === undefined)
    throw new EngineError("invalid-argument", `${where}: the source "${mount.source}" is not an absolute path`);
  const source = mount.source.startsWith("/") ? mount.source : posix.join(context.bundle ?? "/", mount.source);
  // Only recursive attributes can be part of the bind itself.
  const onlyRecursive =
    options.set.length + options.clear.length === 0 && options.recursiveSet.length + options.recursiveClear.length > 0;
  const attributes: MountAttributes = onlyRecursive
    ? { set: options.recursiveSet, clear: options.recursiveClear, recursive: true }
    : ownAttributes(options);
  const bind: Operation = {
    kind: "bind",
    source,
    ...(mount.subpath === undefined || mount.subpath === "" ? {} : { subpath: mount.subpath }),
    recursive: options.recursiveBind || mount.type === "rbind",
    attributes,
    ...firstPropagation(options),
    target,
    create: true,
    ...ids,
  };
  return [bind, ...further(target, options, onlyRecursive)];
}

function newMountOperations(
  target: string,
  mount: OciMount,
  options: ParsedMountOptions,
  where: string,
  ids: MountIds,
): MountOperations {
  if (mount.type === undefined || mount.type === "" || mount.type === "none")
    throw new EngineError("invalid-argument", `${where}: a mount that is not a bind needs a type`);
  // /dev gets its nodes after it is mounted, and a copied-up tmpfs its content: so read-only comes last.
  const fill = target === "/dev" && options.set.includes("readonly");
  const set = fill ? options.set.filter((attribute) => attribute !== "readonly") : options.set;
  const operation: Operation = {
    kind: "mount",
    type: mount.type,
    source: mount.source ?? mount.type,
    options: options.data,
    attributes: { ...ownAttributes(options), set },
    target,
    create: "directory",
    ...firstPropagation(options),
    ...(options.copyUp ? { copyUp: true } : {}),
    ...ids,
  };
  return {
    now: [operation, ...further(target, options)],
    last: fill ? [{ kind: "mount-attributes", target, attributes: { set: ["readonly"] } }] : [],
  };
}
