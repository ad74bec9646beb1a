/**
 * The interface of cgroups: a container's place in the kernel's hierarchies, its limits and its statistics. Cgroups v1, v2 and both at once;
 * sources: the kernel's Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst, and the OCI specification, config-linux.md "Control groups".
 *
 * Errors: `EngineError` "unavailable" for a controller that this machine does not have (`Cgroups.support` reports it in advance), "timeout" for
 * processes that do not stop or end, "conflict" for a cgroup with processes in it (`create`, `remove`), "invalid-argument" or "internal", with
 * the file and the value, when the kernel rejects a value.
 */
import type { CgroupHierarchyView } from "../compile/cgroup-mounts.ts";

/** Limits, compiled from OCI `linux.resources` (`resourcesFromOci`). An absent limit is the kernel's default, or does not change in an update. */
export interface Resources {
  readonly memoryBytes?: number;
  /** -1: no limit. Memory and swap together, as Docker counts. */
  readonly memorySwapBytes?: number;
  /** What the container keeps when the machine is short of memory. */
  readonly memoryReservationBytes?: number;
  /** 0 to 100. Only v1. */
  readonly memorySwappiness?: number;
  /** At the limit, processes wait and are not killed. Only v1. */
  readonly oomKillDisable?: boolean;
  /** Relative weight, 1024 is usual: v1's unit, converted for v2. */
  readonly cpuShares?: number;
  /** Microseconds of processor time in each period; more than the period for several processors; 0 or less: no limit. */
  readonly cpuQuotaUs?: number;
  /** Microseconds; 100 000 when absent. */
  readonly cpuPeriodUs?: number;
  /** "0-3,7". */
  readonly cpusetCpus?: string;
  /** "0-1". */
  readonly cpusetMems?: string;
  /** Number of processes and threads. 0 or -1: no limit. */
  readonly pids?: number;
  /** Relative weight, 10 to 1000. */
  readonly blkioWeight?: number;
  /** Limits that are one value in one file. They are written after the others, in this order. */
  readonly settings?: readonly CgroupSetting[];
  /** In order: a later rule overrides an earlier one. */
  readonly devices?: readonly DeviceRule[];
}

/** One value for each version of cgroups; the version that has the controller counts. */
export interface CgroupSetting {
  /** The member of the configuration that asks for it. */
  readonly member: string;
  readonly v1?: SettingFile;
  readonly v2?: SettingFile;
}
export interface SettingFile {
  readonly controller: string;
  readonly file: string;
  readonly value: string;
}

export interface DeviceRule {
  readonly allow: boolean;
  /** All, block or character devices. */
  readonly type: "a" | "b" | "c";
  /** undefined: all. */
  readonly major?: number;
  readonly minor?: number;
  /** Subset of "rwm": read, write, mknod. */
  readonly access: string;
}

export interface CgroupStats {
  readonly memoryUsageBytes: number;
  /** A number above all real ones when there is no limit. */
  readonly memoryLimitBytes: number;
  /** The highest usage since the cgroup exists; undefined when this kernel does not count it. */
  readonly memoryPeakBytes: number | undefined;
  /** How often an allocation met the limit (v1), or the limit could not be held without killing a process (v2). */
  readonly memoryFailures: number;
  /** memory.stat, with the kernel's own names: bytes, and counts of events. */
  readonly memoryStat: Readonly<Record<string, number>>;
  /** Since the cgroup exists. */
  readonly cpuUsageNs: bigint;
  readonly cpuUserNs: bigint;
  readonly cpuSystemNs: bigint;
  /** For each processor; empty on v2, which does not count it. */
  readonly cpuUsagePerCpuNs: readonly bigint[];
  /** Periods of the quota, periods in which it was used up, and how long processes waited then. */
  readonly throttledPeriods: number;
  readonly periods: number;
  readonly throttledNs: bigint;
  /** Processes and threads now. */
  readonly pids: number;
  /** 0: no limit. */
  readonly pidsLimit: number;
  readonly oomKills: number;
  /** Bytes since the cgroup exists. */
  readonly io: readonly IoCount[];
  /** Requests since the cgroup exists. */
  readonly ioRequests: readonly IoCount[];
}

/** Of one block device. */
export interface IoCount {
  readonly major: number;
  readonly minor: number;
  /** "read" and "write" on v2; on v1 the kernel's own words: "Read", "Write", "Sync", "Async", "Discard", "Total". */
  readonly op: string;
  readonly value: bigint;
}

/** One container's place in the hierarchies. */
export interface Cgroup {
  /** Absolute inside the hierarchies: "/fathom/<id>". */
  readonly path: string;
  /** Absolute paths of files, for `Stem.cgroupProcs`: a process that writes 0 to each joins the cgroup. */
  readonly procsFiles: readonly string[];
  /** Its place in each hierarchy. `compile` accepts a `Cgroup` as `options.cgroup`. */
  readonly hierarchies: readonly CgroupHierarchyView[];
  /** The one of its directories that shows its processes. */
  readonly processDirectory: string | undefined;
  /** For a cgroup without processes. When a limit is rejected, earlier ones may stay set. */
  apply(resources: Resources): void;
  /**
   * The same for a cgroup with processes. The kernel frees the memory above a new limit before the write returns, so the limit is lowered in
   * steps. When a limit is rejected, the memory limit stays as it was.
   */
  update(resources: Resources): Promise<void>;
  /** Resolves when all processes are frozen. @throws timeout after 5 s; they run then */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** False for one that was removed. @throws unavailable when it cannot be read */
  frozen(): boolean;
  /** Pids as the host numbers them, also of cgroups below. */
  processes(): number[];
  /** Sends SIGKILL until no process is left, frozen or not. @throws timeout after 10 s */
  kill(): Promise<void>;
  stats(): CgroupStats;
  /** Number of processes that the kernel killed for lack of memory. Final after the container's exit; ask before `remove`. */
  oomKills(): number;
  /** Removes it in every hierarchy, with everything below it; a second call changes nothing. @throws conflict when processes are left after 5 s */
  remove(): Promise<void>;
}

/** Which limits work on this machine. Docker discards some of the others with a warning. */
export interface CgroupSupport {
  readonly memory: boolean;
  readonly memorySwap: boolean;
  readonly memoryReservation: boolean;
  readonly memorySwappiness: boolean;
  readonly oomKillDisable: boolean;
  readonly cpuShares: boolean;
  readonly cpuQuota: boolean;
  readonly cpuset: boolean;
  readonly pids: boolean;
  readonly blkioWeight: boolean;
  /** "0-3"; empty without the cpuset controller. */
  readonly availableCpus: string;
  readonly availableMems: string;
}

export interface Cgroups {
  readonly version: "v1" | "v2" | "hybrid";
  readonly driver: "cgroupfs";
  /** Names of the controllers that work here. */
  readonly controllers: readonly string[];
  readonly support: CgroupSupport;
  /**
   * Makes it without limits. `path` as `Cgroup.path`. Cgroups above it are made too, and an empty one with this path is made again. @throws
   * conflict when one with processes exists
   */
  create(path: string): Cgroup;
  /** An existing one, without checks. */
  open(path: string): Cgroup;
  /** Names of the cgroups directly below `parent` ("/fathom"). */
  list(parent: string): string[];
}
