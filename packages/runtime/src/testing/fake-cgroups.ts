/** Cgroups in memory. Every call can fail or hang; in `faults` their names are "cgroups" and "cgroup". */
import { Faults } from "@fathom/base/testing";
import type { Cgroup, Cgroups, CgroupStats, Resources } from "../cgroups/contract.ts";

export interface FakeCgroupsOptions {
  readonly faults?: Faults;
  /** The processes in the cgroup of this path. */
  readonly occupants: (path: string) => readonly number[];
  /** Kills them. */
  readonly kill: (path: string) => void;
}

/** Of a cgroup in which nothing happened. */
export const noStats: CgroupStats = {
  pids: 0,
  oomKills: 0,
  memoryUsageBytes: 0,
  memoryLimitBytes: 0,
  memoryPeakBytes: undefined,
  memoryFailures: 0,
  memoryStat: {},
  cpuUsageNs: 0n,
  cpuUserNs: 0n,
  cpuSystemNs: 0n,
  cpuUsagePerCpuNs: [],
  throttledPeriods: 0,
  periods: 0,
  throttledNs: 0n,
  pidsLimit: 0,
  io: [],
  ioRequests: [],
};

export class FakeCgroups {
  readonly paths = new Set<string>();
  readonly frozen = new Set<string>();
  /** Limits, in the order in which they were set. */
  readonly applied: Resources[] = [];
  /** Of every cgroup. */
  oomKills = 0;
  readonly #faults: Faults;
  readonly #options: FakeCgroupsOptions;

  constructor(options: FakeCgroupsOptions) {
    this.#faults = options.faults ?? new Faults();
    this.#options = options;
  }

  api(): Cgroups {
    const cgroups: Cgroups = {
      version: "v2",
      driver: "cgroupfs",
      controllers: [],
      support: {
        memory: true,
        memorySwap: true,
        memoryReservation: true,
        memorySwappiness: true,
        oomKillDisable: true,
        cpuShares: true,
        cpuQuota: true,
        cpuset: true,
        pids: true,
        blkioWeight: true,
        availableCpus: "0-1",
        availableMems: "0",
      },
      create: (path) => {
        this.paths.add(path);
        return this.#open(path);
      },
      open: (path) => this.#open(path),
      list: (parent) =>
        [...this.paths].filter((path) => path.startsWith(`${parent}/`)).map((path) => path.slice(parent.length + 1)),
    };
    return this.#faults.wrap("cgroups", cgroups);
  }

  #open(path: string): Cgroup {
    const { occupants, kill } = this.#options;
    const cgroup: Cgroup = {
      path,
      procsFiles: [`/cg${path}/cgroup.procs`],
      hierarchies: [],
      processDirectory: undefined,
      apply: (resources) => void this.applied.push(resources),
      update: async (resources) => void this.applied.push(resources),
      freeze: async () => void this.frozen.add(path),
      thaw: async () => void this.frozen.delete(path),
      frozen: () => this.frozen.has(path),
      processes: () => [...occupants(path)],
      kill: async () => kill(path),
      stats: () => ({ ...noStats, pids: occupants(path).length, oomKills: this.oomKills }),
      oomKills: () => this.oomKills,
      remove: async () => void this.paths.delete(path),
    };
    return this.#faults.wrap("cgroup", cgroup);
  }
}
