/** Limits → values in the files of v1 and v2 controllers. Sources: kernel cgroup-v1/*.rst, cgroup-v2.rst. */
import { EngineError, messageOf, errnoOf } from "@fathom/base";
import type { CgroupSetting, Resources } from "./contract.ts";
import type { CgroupFileSystem } from "./filesystem.ts";

/** The directory of a controller for one cgroup. */
export interface ControllerPlace {
  readonly version: 1 | 2;
  readonly directory: string;
}

/** The directory of each controller of a cgroup. */
export type Places = ReadonlyMap<string, ControllerPlace>;

/** Applies all limits except devices. Undefined values do not change. */
export function applyLimits(fs: CgroupFileSystem, places: Places, resources: Resources): void {
  const writer = new LimitWriter(fs, places);
  applyMemory(writer, resources);
  applyCpu(writer, resources);
  applyCpuset(writer, resources);
  applyPids(writer, resources);
  applyBlockIo(writer, resources);
  for (const setting of resources.settings ?? []) applySetting(writer, setting);
}

/** @throws unavailable when no version on this machine has it */
function applySetting(writer: LimitWriter, { member, v1, v2 }: CgroupSetting): void {
  const [file] = [v1, v2].filter((one, index) => one !== undefined && writer.versionOf(one.controller) === index + 1);
  if (file === undefined)
    throw new EngineError("unavailable", `cannot set ${member}: this machine has no cgroup controller for it`);
  const place = writer.place(file.controller, member);
  if (!writer.has(place, file.file))
    throw new EngineError(
      "unavailable",
      `cannot set ${member}: the cgroup has no file ${file.file}; the kernel, or a cgroup above it, does not offer it`,
    );
  writer.set(place, file.file, file.value);
}

/** Writes one controller's files, with errors that say what could not be set and why. */
class LimitWriter {
  readonly #fs: CgroupFileSystem;
  readonly #places: Places;

  constructor(fs: CgroupFileSystem, places: Places) {
    this.#fs = fs;
    this.#places = places;
  }

  place(controller: string, what: string): ControllerPlace {
    const place = this.#places.get(controller);
    if (place === undefined)
      throw new EngineError(
        "unavailable",
        `cannot set ${what}: the ${controller} cgroup controller is not available here`,
      );
    return place;
  }

  versionOf(controller: string): 1 | 2 | undefined {
    return this.#places.get(controller)?.version;
  }

  hasController(controller: string): boolean {
    return this.#places.has(controller);
  }

  /** The errno, instead of an error, when it is one of `expected`. */
  set(place: ControllerPlace, file: string, value: string, expected: readonly string[] = []): string | undefined {
    try {
      this.#fs.write(`${place.directory}/${file}`, value);
      return undefined;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno !== undefined && expected.includes(errno)) return errno;
      throw this.#failure(place, file, value, error);
    }
  }

  has(place: ControllerPlace, file: string): boolean {
    return this.#fs.exists(`${place.directory}/${file}`);
  }

  #failure(place: ControllerPlace, file: string, value: string, error: unknown): EngineError {
    const errno = errnoOf(error);
    if (errno === "ENOENT")
      return new EngineError("unavailable", `cannot set ${file} to ${value}: this kernel has no such limit`, {
        cause: error,
      });
    if (errno === "EBUSY" && file.startsWith("memory.")) {
      const usage = this.#readUsage(place);
      return new EngineError(
        "invalid-argument",
        `cannot set ${file} to ${value}: the container uses ${usage} bytes that cannot be freed`,
        { cause: error },
      );
    }
    const code = errno === "EINVAL" || errno === "ERANGE" ? "invalid-argument" : "internal";
    return new EngineError(code, `cannot set ${file} to ${value}: ${messageOf(error)}`, { cause: error });
  }

  #readUsage(place: ControllerPlace): string {
    try {
      const file = place.version === 1 ? "memory.usage_in_bytes" : "memory.current";
      return this.#fs.read(`${place.directory}/${file}`).trim();
    } catch {
      return "more";
    }
  }
}

function applyMemory(writer: LimitWriter, resources: Resources): void {
  const { memoryBytes, memorySwapBytes, memoryReservationBytes, memorySwappiness, oomKillDisable } = resources;
  const wanted = [memoryBytes, memorySwapBytes, memoryReservationBytes, memorySwappiness].some(
    (value) => value !== undefined && value !== 0,
  );
  if (!wanted && oomKillDisable !== true) return;
  const place = writer.place("memory", "the memory limit");
  if (place.version === 1) applyMemoryFirst(writer, place, resources);
  else applyMemoryUnified(writer, place, resources);
}

function applyMemoryFirst(writer: LimitWriter, place: ControllerPlace, resources: Resources): void {
  // Without a memory limit, swap has no limit either.
  const memory = given(resources.memoryBytes);
  const swap = memory === -1 ? (given(resources.memorySwapBytes) ?? -1) : given(resources.memorySwapBytes);
  const setMemory = (expected: readonly string[] = []): string | undefined =>
    memory === undefined ? undefined : writer.set(place, "memory.limit_in_bytes", String(memory), expected);
  const setSwap = (expected: readonly string[] = []): string | undefined => {
    if (swap === undefined) return undefined;
    // A kernel without swap accounting does not have this file, so there is no limit to remove.
    if (swap === -1 && !writer.has(place, "memory.memsw.limit_in_bytes")) return undefined;
    return writer.set(place, "memory.memsw.limit_in_bytes", String(swap), expected);
  };
  // The kernel requires memory ≤ memory+swap at every moment: to lower the limits, memory is written first; to raise them, swap.
  if (setMemory(["EINVAL"]) !== undefined) {
    setSwap();
    setMemory();
  } else setSwap();
  if (given(resources.memoryReservationBytes) !== undefined)
    writer.set(place, "memory.soft_limit_in_bytes", String(resources.memoryReservationBytes));
  if (resources.memorySwappiness !== undefined && resources.memorySwappiness >= 0)
    writer.set(place, "memory.swappiness", String(resources.memorySwappiness));
  if (resources.oomKillDisable !== undefined && resources.oomKillDisable) writer.set(place, "memory.oom_control", "1");
}

function applyMemoryUnified(writer: LimitWriter, place: ControllerPlace, resources: Resources): void {
  const memory = given(resources.memoryBytes);
  const swap = unifiedSwap(memory, given(resources.memorySwapBytes));
  if (swap !== undefined) {
    // Without swap in the kernel there is nothing to limit.
    if (writer.has(place, "memory.swap.max") || (swap !== "0" && swap !== "max"))
      writer.set(place, "memory.swap.max", swap);
  }
  if (memory !== undefined) writer.set(place, "memory.max", memory === -1 ? "max" : String(memory));
  const reservation = given(resources.memoryReservationBytes);
  if (reservation !== undefined) writer.set(place, "memory.low", reservation === -1 ? "max" : String(reservation));
  if (resources.oomKillDisable === true)
    throw new EngineError("unavailable", "cannot disable the OOM killer: cgroup v2 has no such setting");
}

/** v2 counts only swap; Docker and OCI count memory plus swap. */
function unifiedSwap(memory: number | undefined, total: number | undefined): string | undefined {
  if (total === undefined) return memory === -1 ? "max" : undefined;
  if (total === -1) return "max";
  if (memory === undefined || memory === -1)
    throw new EngineError("invalid-argument", "cannot limit swap without a memory limit");
  if (total < memory)
    throw new EngineError("invalid-argument", "the limit of memory plus swap is below the limit of memory");
  return String(total - memory);
}

function applyCpu(writer: LimitWriter, resources: Resources): void {
  const shares = given(resources.cpuShares);
  const quota = given(resources.cpuQuotaUs);
  const period = given(resources.cpuPeriodUs);
  if (shares === undefined && quota === undefined && period === undefined) return;
  const place = writer.place("cpu", "the CPU limit");
  if (place.version === 2) {
    if (shares !== undefined) writer.set(place, "cpu.weight", String(weightOfShares(shares)));
    if (quota !== undefined || period !== undefined) {
      const limit = quota === undefined || quota < 0 ? "max" : String(quota);
      writer.set(place, "cpu.max", period === undefined ? limit : `${limit} ${period}`);
    }
    return;
  }
  if (shares !== undefined) writer.set(place, "cpu.shares", String(sharesInRange(shares)));
  // At every step the kernel checks quota/period against the parent: when it rejects the period alone, the quota is written first.
  const refused =
    period !== undefined &&
    writer.set(place, "cpu.cfs_period_us", String(period), quota === undefined ? [] : ["EINVAL"]);
  if (quota !== undefined) writer.set(place, "cpu.cfs_quota_us", String(quota < 0 ? -1 : quota));
  if (typeof refused === "string") writer.set(place, "cpu.cfs_period_us", String(period));
}

/** The kernel would silently take the limit of the range instead. @throws invalid-argument in runc's words */
function sharesInRange(shares: number): number {
  const [least, most] = [2, 262_144];
  if (shares < least) throw new EngineError("invalid-argument", `the minimum allowed cpu-shares is ${least}`);
  if (shares > most) throw new EngineError("invalid-argument", `the maximum allowed cpu-shares is ${most}`);
  return shares;
}

/**
 * cpu.shares (2…262144, default 1024) → cpu.weight (1…10000, default 100): a curve through the three pairs of both scales, as in runc and crun
 * since 2025. The earlier straight line gave the default shares a weight of 39.
 */
export function weightOfShares(shares: number): number {
  if (shares <= 2) return 1;
  if (shares >= 262_144) return 10_000;
  const log = Math.log2(shares);
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
}

function applyCpuset(writer: LimitWriter, resources: Resources): void {
  const { cpusetCpus = "", cpusetMems = "" } = resources;
  if (cpusetCpus === "" && cpusetMems === "") return;
  const place = writer.place("cpuset", "the set of CPUs");
  if (cpusetCpus !== "") writer.set(place, "cpuset.cpus", cpusetCpus);
  if (cpusetMems !== "") writer.set(place, "cpuset.mems", cpusetMems);
}

function applyPids(writer: LimitWriter, resources: Resources): void {
  if (resources.pids === undefined) return;
  const limit = resources.pids <= 0 ? "max" : String(resources.pids);
  writer.set(writer.place("pids", "the limit of processes"), "pids.max", limit);
}

function applyBlockIo(writer: LimitWriter, resources: Resources): void {
  const weight = given(resources.blkioWeight);
  if (weight === undefined) return;
  if (weight < 10 || weight > 1000)
    throw new EngineError("invalid-argument", `the block I/O weight ${weight} is not within 10 to 1000`);
  const io = writer.place(writer.hasController("io") ? "io" : "blkio", "the block I/O weight");
  // BFQ's own file accepts the weight unchanged; the other files exist depending on the kernel's schedulers.
  const bfq = io.version === 2 ? "io.bfq.weight" : "blkio.bfq.weight";
  if (writer.has(io, bfq)) writer.set(io, bfq, String(weight));
  else if (io.version === 2) writer.set(io, "io.weight", String(1 + Math.floor(((weight - 10) * 9999) / 990)));
  else writer.set(io, "blkio.weight", String(weight));
}

/** 0 means "not given" for all of these, in Docker's API and in OCI. */
function given(value: number | undefined): number | undefined {
  return value === 0 ? undefined : value;
}
