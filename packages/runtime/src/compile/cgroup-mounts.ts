/**
 * What a container sees at /sys/fs/cgroup.
 * - v2: the one tree; with a cgroup namespace, the container's own cgroup is its root.
 * - v1 and hybrid: a tmpfs with one mount per hierarchy, and links for names inside a joint hierarchy ("cpu" → "cpu,cpuacct"). With a cgroup
 *   namespace each is a new mount whose root is the container's cgroup; without one, the container's directory is bound.
 */
import { posix } from "node:path";
import type { ParsedMountOptions } from "./mount-options.ts";
import type { MountAttribute, Operation } from "../plan/plan.ts";

/** One hierarchy as the host has mounted it. */
export interface CgroupHierarchyView {
  readonly version: 1 | 2;
  /** Its path on the host: "/sys/fs/cgroup/cpu,cpuacct". */
  readonly mountPoint: string;
  /** The container's own directory in it. */
  readonly directory: string;
  /** fsconfig flags that select a v1 hierarchy: `["cpu"], ["cpuacct"]` or `["name", "systemd"]`. */
  readonly selectors: readonly (readonly [string] | readonly [string, string])[];
}

export interface CgroupView {
  readonly hierarchies: readonly CgroupHierarchyView[];
}

const baseAttributes: readonly MountAttribute[] = ["nosuid", "nodev", "noexec"];

export function cgroupMountOperations(
  target: string,
  options: ParsedMountOptions,
  context: { readonly cgroupNamespace: boolean; readonly cgroup: CgroupView },
): { readonly now: readonly Operation[]; readonly last: readonly Operation[] } {
  const propagation = options.propagation[0] === undefined ? {} : { propagation: options.propagation[0] };
  const first = context.cgroup.hierarchies.filter((hierarchy) => hierarchy.version === 1);
  const unified = context.cgroup.hierarchies.find((hierarchy) => hierarchy.version === 2);
  if (first.length === 0) {
    if (unified === undefined) return { now: [], last: [] };
    const attributes = { set: options.set, ...(options.clear.length > 0 ? { clear: options.clear } : {}) };
    // A mount of cgroup2 from the host's cgroup namespace would reset the options of the host's own mount: bind that one instead.
    const operation: Operation = context.cgroupNamespace
      ? {
          kind: "mount",
          type: "cgroup2",
          source: "cgroup",
          options: [],
          attributes,
          target,
          create: "directory",
          ...propagation,
        }
      : { kind: "bind", source: unified.mountPoint, recursive: true, attributes, target, create: true, ...propagation };
    return { now: [operation], last: [] };
  }
  const readonly = options.set.includes("readonly");
  const set: readonly MountAttribute[] = readonly ? ["readonly", ...baseAttributes] : baseAttributes;
  const now: Operation[] = [
    {
      kind: "mount",
      type: "tmpfs",
      source: "tmpfs",
      options: [["mode", "755"]],
      attributes: { set: baseAttributes },
      target,
      create: "directory",
      ...propagation,
    },
  ];
  for (const hierarchy of first) {
    const name = posix.basename(hierarchy.mountPoint);
    const place = posix.join(target, name);
    now.push(
      context.cgroupNamespace
        ? {
            kind: "mount",
            type: "cgroup",
            source: name === "systemd" ? "systemd" : "cgroup",
            options: hierarchy.selectors,
            attributes: { set },
            target: place,
            create: "directory",
          }
        : {
            kind: "bind",
            source: hierarchy.directory,
            recursive: true,
            attributes: { set },
            propagation: "rprivate",
            target: place,
            create: true,
          },
    );
    const parts = name.split(",");
    if (parts.length > 1)
      for (const part of parts) now.push({ kind: "make-symlink", path: posix.join(target, part), target: name });
  }
  if (readonly) now.push({ kind: "mount-attributes", target, attributes: { set: ["readonly"] } });
  return { now, last: [] };
}
