/** Which cgroup hierarchies this machine has, and where. Sources: cgroups(7), proc_pid_mountinfo(5), kernel cgroup-v1 and cgroup-v2 documents. */
import { posix } from "node:path";
import { EngineError } from "@fathom/base";
import { parseMountInfo } from "@fathom/sys";

/** One mounted hierarchy. */
export interface Hierarchy {
  readonly version: 1 | 2;
  readonly mountPoint: string;
  /** "memory"; for a named v1 hierarchy "name=systemd". On v2, those that the root offers. */
  readonly controllers: readonly string[];
}

export type CgroupVersion = "v1" | "v2" | "hybrid";

export interface HierarchySet {
  readonly version: CgroupVersion;
  readonly hierarchies: readonly Hierarchy[];
}

/** Words among a v1 hierarchy's super block options that are not controllers. */
const otherOptions: ReadonlySet<string> = new Set([
  "rw",
  "ro",
  "noprefix",
  "xattr",
  "clone_children",
  "cpuset_v2_mode",
  "favordynmods",
  "none",
]);

/**
 * @param mountInfo Text of /proc/self/mountinfo.
 * @param unifiedControllers Reads `cgroup.controllers` of the v2 hierarchy mounted there, e.g. "cpu memory\n".
 */
export function findHierarchies(mountInfo: string, unifiedControllers: (mountPoint: string) => string): HierarchySet {
  const byDevice = new Map<string, Hierarchy>();
  for (const { device, point, type, options } of parseMountInfo(mountInfo)) {
    if (byDevice.has(device)) continue;
    if (type === "cgroup") {
      const controllers = options.filter((word) => !otherOptions.has(word) && !word.startsWith("release_agent="));
      if (controllers.length > 0) byDevice.set(device, { version: 1, mountPoint: point, controllers });
    } else if (type === "cgroup2") {
      const controllers = unifiedControllers(point).split(/\s+/).filter(Boolean);
      byDevice.set(device, { version: 2, mountPoint: point, controllers });
    }
  }
  const hierarchies = [...byDevice.values()];
  if (hierarchies.length === 0)
    throw new EngineError(
      "unavailable",
      "no cgroup hierarchy is mounted: mount one (mount -t cgroup2 none /sys/fs/cgroup), containers cannot be limited without",
    );
  const first = hierarchies.some(({ version }) => version === 1);
  const second = hierarchies.some(({ version }) => version === 2);
  return { version: first && second ? "hybrid" : first ? "v1" : "v2", hierarchies };
}

/** How a v1 mount of this hierarchy names it: one flag per controller, or its name. */
export function selectorsOf(hierarchy: Hierarchy): (readonly [string] | readonly [string, string])[] {
  if (hierarchy.version === 2) return [];
  return hierarchy.controllers.map((controller) =>
    controller.startsWith("name=") ? (["name", controller.slice("name=".length)] as const) : ([controller] as const),
  );
}

/** The checked form of a cgroup's path: absolute, no "..", no NUL. Errors: "invalid-argument". */
export function checkCgroupPath(path: string): string {
  const clean = posix.normalize(`/${path}`).replace(/(?<=.)\/$/, "");
  if (path.includes("\0") || path.split("/").includes("..") || clean === "/" || clean.length > 1024)
    throw new EngineError("invalid-argument", `"${path}" is not a usable cgroup path`);
  return clean;
}
