/** Checks of limits, in the order and the words of dockerd. A limit that this machine cannot enforce gives a warning and is discarded. */
import { EngineError } from "@fathom/base";
import type { HostConfig } from "@fathom/spec";
import { parseCpuList } from "./cpu-list.ts";
import type { HostFacts } from "./host-facts.ts";
import { ulimitTypes } from "@fathom/spec";

/** Bytes. runc and the kernel need about this much to start a container. */
const smallestMemory = 6 << 20;

/** PID_MAX_LIMIT of 64-bit kernels: they accept no larger value. */
const largestPidsLimit = 1 << 22;

function refuse(message: string): never {
  throw new EngineError("invalid-argument", message);
}

/** @throws invalid-argument */
export function checkResources(config: HostConfig, host: HostFacts, update: boolean): string[] {
  return [
    ...checkMemory(config, host, update),
    ...checkCpu(config, host),
    ...checkCpuset(config, host),
    ...checkIo(config, host),
    ...checkUlimits(config),
  ];
}

function checkMemory(config: HostConfig, { limits }: HostFacts, update: boolean): string[] {
  const warnings: string[] = [];
  const { Memory: memory, MemorySwap: swap, MemoryReservation: reservation, OomKillDisable } = config;
  const swappiness = config.MemorySwappiness === -1 ? null : config.MemorySwappiness;
  if (memory !== 0 && memory < smallestMemory) refuse("Minimum memory limit allowed is 6MB");
  if (swap < -1) refuse(`Invalid value: ${swap}, valid memory swap is -1 for no limit, 0 or a number of bytes`);
  if (memory > 0 && !limits.memory)
    warnings.push(
      "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
    );
  else if (memory > 0 && swap !== -1 && !limits.memorySwap)
    warnings.push(
      "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
    );
  else if (memory > 0 && swap > 0 && swap < memory)
    refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
  if (memory === 0 && swap > 0 && !update)
    refuse("You should always set the Memory limit when using Memoryswap limit, see usage");
  if (swappiness !== null && !limits.memorySwappiness)
    warnings.push(
      "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
    );
  else if (swappiness !== null && (swappiness < 0 || swappiness > 100))
    refuse(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`);
  // Docker passes it to the kernel, which accepts only -1.
  if (reservation < -1) refuse("Minimum memory reservation allowed is 6MB");
  if (reservation > 0 && !limits.memoryReservation)
    warnings.push(
      "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
    );
  else if (reservation > 0) {
    if (reservation < smallestMemory) refuse("Minimum memory reservation allowed is 6MB");
    if (memory > 0 && memory < reservation)
      refuse("Minimum memory limit can not be less than memory reservation limit, see usage");
  }
  if (OomKillDisable === true && !limits.oomKillDisable)
    warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.");
  else if (OomKillDisable === true && memory === 0)
    warnings.push(
      "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
    );
  if ((config.PidsLimit ?? 0) > largestPidsLimit)
    refuse(`Invalid value: ${config.PidsLimit}, a PIDs limit is at most ${largestPidsLimit}; 0 or -1 is no limit`);
  if ((config.PidsLimit ?? 0) > 0 && !limits.pids)
    warnings.push(
      "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
    );
  return warnings;
}

function checkCpu(config: HostConfig, { limits, cpuCount }: HostFacts): string[] {
  const warnings: string[] = [];
  const { NanoCpus: cpus, CpuPeriod: period, CpuQuota: quota, CpuShares: shares } = config;
  if (cpus > 0 && period > 0) refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set");
  if (cpus > 0 && quota > 0) refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  if (cpus > 0 && !limits.cpuQuota)
    refuse("NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted");
  if (cpus < 0 || cpus > cpuCount * 1e9)
    refuse(`range of CPUs is from 0.01 to ${cpuCount}.00, as there are only ${cpuCount} CPUs available`);
  if (shares < 0) refuse(`invalid CPU shares (${shares}): value must be a positive integer`);
  if (shares > 0 && !limits.cpuShares)
    warnings.push("Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.");
  if ((period !== 0 || quota !== 0) && !limits.cpuQuota)
    warnings.push("Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.");
  else {
    if (period !== 0 && (period < 1000 || period > 1_000_000))
      refuse("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
    if (quota > 0 && quota < 1000) refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  }
  if (config.CpuPercent > 0) warnings.push("linux does not support CPU percent. Percent discarded.");
  return warnings;
}

function checkCpuset(config: HostConfig, { limits }: HostFacts): string[] {
  const { CpusetCpus: cpus, CpusetMems: mems } = config;
  if ((cpus !== "" || mems !== "") && !limits.cpuset)
    return ["Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded."];
  checkList(cpus, "cpus", "CPUs", limits.availableCpus);
  checkList(mems, "mems", "memory nodes", limits.availableMems);
  return [];
}

function checkList(asked: string, field: string, what: string, available: string): void {
  const wanted = parseCpuList(asked);
  if (wanted === undefined) refuse(`Invalid value ${asked} for cpuset ${field}: invalid format: ${asked}`);
  const there = parseCpuList(available) ?? new Set();
  if (![...wanted].every((number) => there.has(number)))
    refuse(`Requested ${what} are not available - requested ${asked}, available: ${available}`);
}

function checkIo(config: HostConfig, { limits }: HostFacts): string[] {
  const { BlkioWeight: weight } = config;
  if (weight > 0 && !limits.blkioWeight)
    return ["Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."];
  if (weight !== 0 && (weight < 10 || weight > 1000)) refuse("Range of blkio weight is from 10 to 1000");
  if (config.IOMaximumBandwidth !== 0 || config.IOMaximumIOps !== 0)
    refuse("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps");
  return [];
}

/** setrlimit(2). */
const ulimitNames: ReadonlySet<string> = new Set(["as", ...ulimitTypes]);

/** In the words of the docker CLI, which checks them before the daemon does. */
function checkUlimits(config: HostConfig): string[] {
  for (const { Name: name, Soft: soft, Hard: hard } of config.Ulimits ?? []) {
    if (!ulimitNames.has(name)) refuse(`invalid ulimit type: ${name}`);
    for (const value of [soft, hard])
      if (value < -1) refuse(`invalid ulimit ${name}: ${value} is neither -1 for no limit nor a number from 0 on`);
    if (hard !== -1 && (soft === -1 || soft > hard))
      refuse(
        `ulimit soft limit must be less than or equal to hard limit: ${soft === -1 ? "unlimited" : soft} > ${hard}`,
      );
  }
  return [];
}
