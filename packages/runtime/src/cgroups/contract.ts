/** The interface of cgroups: a container's place in the kernel's hierarchies, its limits and its statistics. */
import type { CgroupHierarchyView } from "../compile/cgroup-mounts.ts";

/** Limits in the engine's own terms; compiled from OCI `linux.resources`. undefined leaves the kernel's default. */
export interface Resources {
  readonly memoryBytes?: number;
  /** -1: no limit. Memory plus swap, as Docker counts. */
  readonly memorySwapBytes?: number;
  readonly memoryReservationBytes?: number;
  readonly memorySwappiness?: number;
  readonly oomKillDisable?: boolean;
  readonly cpuShares?: number;
  readonly cpuQuotaUs?: number;
  readonly cpuPeriodUs?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  /** 0 or -1: no limit. */
  readonly pids?: number;
  readonly blkioWeight?: number;
  readonly devices?: readonly DeviceRule[];
}

export interface DeviceRule {
  readonly allow: boolean;
  readonly type: "a" | "b" | "c";
  /** undefined: all. */
  readonly major?: number;
  readonly minor?: number;
  /** Subset of "rwm". */
  readonly access: string;
}

export interface CgroupStats {
  readonly memoryUsageBytes: number;
  readonly memoryLimitBytes: number;
  readonly memoryStat: Readonly<Record<string, number>>;
  readonly cpuUsageNs: bigint;
  readonly cpuUserNs: bigint;
  readonly cpuSystemNs: bigint;
  readonly throttledPeriods: number;
  readonly periods: number;
  readonly throttledNs: bigint;
  readonly pids: number;
  readonly pidsLimit: number;
  readonly oomKills: number;
  readonly io: readonly {
    readonly major: number;
    readonly minor: number;
    readonly op: string;
    readonly bytes: bigint;
  }[];
}

/** One container's place in the cgroup hierarchies. */
export interface Cgroup {
  /** Absolute inside the hierarchies: "/fathom/<id>". */
  readonly path: string;
  /** Files for `Stem.cgroupProcs`. */
  readonly procsFiles: readonly string[];
  /** Its place in each hierarchy: a `Cgroup` is what `compile` takes as `options.cgroup`. */
  readonly hierarchies: readonly CgroupHierarchyView[];
  apply(resources: Resources): void;
  /**
   * The same for one that has processes: the kernel frees what is above a new limit of memory before the write returns, so that goes in steps. A limit
   * that is refused leaves that of the memory as it was.
   */
  update(resources: Resources): Promise<void>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  frozen(): boolean;
  /** All host pids in it. */
  processes(): number[];
  /** SIGKILLs every process until none is left. */
  kill(): Promise<void>;
  stats(): CgroupStats;
  /** Number of OOM kills so far. */
  oomKills(): number;
  /** Removes it everywhere; waits shortly for dying processes. */
  remove(): Promise<void>;
}

/** Which limits work on this machine. Docker discards some with a warning where they do not. */
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
  /** "0-3", empty where the cpuset controller is missing. */
  readonly availableCpus: string;
  readonly availableMems: string;
}

export interface Cgroups {
  readonly version: "v1" | "v2" | "hybrid";
  readonly driver: "cgroupfs";
  /** Controllers that work here; a limit whose controller is missing is an error that says so, or a warning where Docker warns. */
  readonly controllers: readonly string[];
  readonly support: CgroupSupport;
  /** Creates with no limits. `path` as Cgroup.path. */
  create(path: string): Cgroup;
  /** An existing one, without checks. */
  open(path: string): Cgroup;
  /** Names of cgroups directly below `parent` ("/fathom"): to find leftovers. */
  list(parent: string): string[];
}
