/** Which limits this machine's kernel and mounts can set. */
import type { CgroupSupport } from "./contract.ts";
import type { CgroupFileSystem } from "./filesystem.ts";
import type { Hierarchy } from "./hierarchies.ts";

export function findSupport(hierarchies: readonly Hierarchy[], fs: CgroupFileSystem): CgroupSupport {
  const places = new Map(hierarchies.flatMap((one) => one.controllers.map((controller) => [controller, one] as const)));
  /** v1 has its files also at the root, v2 only below it: there only the controller's name tells. */
  const has = (controller: string, file: string): boolean => {
    const place = places.get(controller);
    if (place === undefined) return false;
    return place.version === 2 || fs.exists(`${place.mountPoint}/${file}`);
  };
  const onlyFirst = (controller: string, file: string): boolean =>
    places.get(controller)?.version === 1 && has(controller, file);
  const list = (file: string): string => {
    const place = places.get("cpuset");
    if (place === undefined) return "";
    try {
      return fs.read(`${place.mountPoint}/${file}${place.version === 2 ? ".effective" : ""}`).trim();
    } catch {
      return "";
    }
  };
  return {
    memory: places.has("memory"),
    memorySwap:
      places.get("memory")?.version === 2 ? fs.exists("/proc/swaps") : has("memory", "memory.memsw.limit_in_bytes"),
    memoryReservation: has("memory", "memory.soft_limit_in_bytes"),
    memorySwappiness: onlyFirst("memory", "memory.swappiness"),
    oomKillDisable: onlyFirst("memory", "memory.oom_control"),
    cpuShares: has("cpu", "cpu.shares"),
    cpuQuota: has("cpu", "cpu.cfs_quota_us"),
    cpuset: places.has("cpuset"),
    pids: places.has("pids"),
    blkioWeight: places.has("io") || has("blkio", "blkio.weight"),
    availableCpus: list("cpuset.cpus"),
    availableMems: list("cpuset.mems"),
  };
}
