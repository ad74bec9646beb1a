/** One container's cgroup in every hierarchy. */
import { EngineError, type Clock, errnoOf, messageOf } from "@fathom/base";
import type { CgroupHierarchyView } from "../compile/cgroup-mounts.ts";
import type { Cgroup, CgroupStats, Resources } from "./contract.ts";
import { evaluateDeviceRules } from "./device-access.ts";
import { DeviceLimits, type DeviceDependencies, type DeviceState } from "./device-limits.ts";
import { cgroupsBelow, processDirectory, removeCgroup, unifiedOf } from "./directories.ts";
import { applyLimits, type ControllerPlace, type Places } from "./limits.ts";
import { readOomKills, readStats } from "./stats.ts";
import { SIGKILL } from "@fathom/sys";

export interface CgroupDependencies extends DeviceDependencies {
  readonly clock: Pick<Clock, "sleep" | "monotonicMs">;
  readonly kill: (pid: number, signal: number) => void;
}

/** How long to wait for dying processes. */
const removeTimeoutMs = 5_000;
const killTimeoutMs = 10_000;
const freezeTimeoutMs = 5_000;
/** How much memory one write may ask the kernel to free while it waits: some milliseconds, if no disk is involved. */
const memoryStepBytes = 32 << 20;

export class HierarchyCgroup implements Cgroup {
  readonly path: string;
  readonly procsFiles: readonly string[];
  readonly hierarchies: readonly CgroupHierarchyView[];
  readonly processDirectory: string | undefined;
  readonly #places: Places;
  readonly #dependencies: CgroupDependencies;
  readonly #devices: DeviceLimits;

  constructor(
    path: string,
    hierarchies: readonly CgroupHierarchyView[],
    places: Places,
    state: DeviceState,
    dependencies: CgroupDependencies,
  ) {
    this.path = path;
    this.hierarchies = hierarchies;
    this.processDirectory = processDirectory(hierarchies);
    // In v1, a thread that moves itself through `tasks` does not wait for an RCU grace period (5 to 10 ms), unlike `cgroup.procs`. The process
    // that joins has one thread.
    this.procsFiles = hierarchies.map(
      ({ directory, version }) => `${directory}/${version === 1 ? "tasks" : "cgroup.procs"}`,
    );
    this.#places = places;
    this.#devices = new DeviceLimits(hierarchies, places, state, dependencies);
    this.#dependencies = dependencies;
  }

  apply(resources: Resources): void {
    applyLimits(this.#dependencies.fs, this.#places, resources);
    if (resources.devices !== undefined) this.#devices.apply(evaluateDeviceRules(resources.devices));
  }

  async update(resources: Resources): Promise<void> {
    const { memoryBytes } = resources;
    const place = this.#places.get("memory");
    if (place === undefined || memoryBytes === undefined || memoryBytes <= 0) return this.apply(resources);
    const { fs, clock } = this.#dependencies;
    const [limitFile, usageFile] =
      place.version === 1 ? ["memory.limit_in_bytes", "memory.usage_in_bytes"] : ["memory.max", "memory.current"];
    const limit = `${place.directory}/${limitFile}`;
    const before = fs.read(limit).trim();
    try {
      const usage = Number(fs.read(`${place.directory}/${usageFile}`));
      const highest = before === "max" ? usage : Math.min(usage, Number(before));
      for (let step = highest - memoryStepBytes; step > memoryBytes; step -= memoryStepBytes) {
        try {
          fs.write(limit, String(step));
        } catch {
          // Memory that cannot be freed: the last write reports it.
          break;
        }
        await clock.sleep(0);
      }
      this.apply(resources);
    } catch (error) {
      if (fs.read(limit).trim() !== before) fs.write(limit, before);
      throw error;
    }
  }

  async freeze(): Promise<void> {
    await this.#setFrozen(true);
  }

  async thaw(): Promise<void> {
    await this.#setFrozen(false);
  }

  async #setFrozen(frozen: boolean): Promise<void> {
    const { fs, clock } = this.#dependencies;
    const place = this.#freezer();
    if (place === undefined)
      throw new EngineError("unavailable", "cannot pause: the freezer cgroup controller is not available here");
    const file = `${place.directory}/${place.version === 1 ? "freezer.state" : "cgroup.freeze"}`;
    const value = place.version === 1 ? (frozen ? "FROZEN" : "THAWED") : frozen ? "1" : "0";
    const deadline = clock.monotonicMs() + freezeTimeoutMs;
    try {
      for (let attempt = 1; ; attempt++) {
        fs.write(file, value);
        if (this.frozen() === frozen) return;
        if (clock.monotonicMs() > deadline)
          throw new EngineError(
            "timeout",
            `cannot ${frozen ? "freeze" : "thaw"} the cgroup ${this.path}: a process in it does not stop within ${freezeTimeoutMs / 1000} s`,
          );
        // In v1, the cgroup can stay in FREEZING when a process forks meanwhile. Thawing and trying again helps.
        if (frozen && place.version === 1 && attempt % 25 === 0) fs.write(file, "THAWED");
        await clock.sleep(Math.min(attempt, 10));
      }
    } catch (error) {
      // Half frozen is the worst state: thaw again.
      if (frozen) fs.write(file, place.version === 1 ? "THAWED" : "0");
      throw error;
    }
  }

  #freezer(): ControllerPlace | undefined {
    return this.#places.get("freezer") ?? unifiedOf(this.hierarchies);
  }

  frozen(): boolean {
    const { fs } = this.#dependencies;
    const place = this.#freezer();
    // Nothing can freeze it.
    if (place === undefined) return false;
    try {
      if (place.version === 1) return fs.read(`${place.directory}/freezer.state`).trim() === "FROZEN";
      return /^frozen 1$/m.test(fs.read(`${place.directory}/cgroup.events`));
    } catch (error) {
      // It was removed: nothing in it is frozen.
      if (["ENOENT", "ENODEV"].includes(errnoOf(error) ?? "")) return false;
      throw new EngineError(
        "unavailable",
        `cannot find out whether the cgroup ${this.path} is frozen: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
  }

  processes(): number[] {
    const directory = this.processDirectory;
    return directory === undefined ? [] : [...new Set(this.#processesBelow(directory))];
  }

  #processesBelow(directory: string): number[] {
    const { fs } = this.#dependencies;
    const found: number[] = [];
    for (const own of [directory, ...cgroupsBelow(fs, directory)]) {
      try {
        for (const line of fs.read(`${own}/cgroup.procs`).split("\n"))
          if (line !== "" && line !== "0") found.push(Number(line));
      } catch (error) {
        // It was removed meanwhile, or it is threaded: then its processes are listed above it.
        if (!["ENOENT", "ENODEV", "EOPNOTSUPP"].includes(errnoOf(error) ?? "")) throw error;
      }
    }
    return found;
  }

  async kill(): Promise<void> {
    const { fs, clock, kill } = this.#dependencies;
    const unified = unifiedOf(this.hierarchies);
    if (unified !== undefined && fs.exists(`${unified.directory}/cgroup.kill`)) {
      try {
        fs.write(`${unified.directory}/cgroup.kill`, "1");
      } catch {
        // Threaded cgroups reject it: the loop below kills their processes one by one.
      }
    }
    const freezer = this.#places.get("freezer");
    const deadline = clock.monotonicMs() + killTimeoutMs;
    for (let attempt = 0; ; attempt++) {
      const left = this.processes();
      if (left.length === 0) {
        // In a frozen v1 cgroup even killed processes stay: never leave one frozen.
        if (freezer !== undefined) this.#writeFreezer(freezer, "THAWED");
        return;
      }
      if (clock.monotonicMs() > deadline)
        throw new EngineError(
          "timeout",
          `cannot end ${left.length} process(es) of the cgroup ${this.path}, for example ${left[0]}`,
        );
      // While frozen, they cannot fork away during the loop. In v1 they die only after a thaw.
      if (freezer !== undefined && attempt > 0) this.#writeFreezer(freezer, "FROZEN");
      for (const pid of left) {
        try {
          kill(pid, SIGKILL);
        } catch (error) {
          if (errnoOf(error) !== "ESRCH") throw error;
        }
      }
      if (freezer !== undefined) this.#writeFreezer(freezer, "THAWED");
      await clock.sleep(Math.min(1 + attempt, 20));
    }
  }

  #writeFreezer(place: ControllerPlace, state: string): void {
    try {
      this.#dependencies.fs.write(`${place.directory}/freezer.state`, state);
    } catch (error) {
      if (!["ENOENT", "ENODEV"].includes(errnoOf(error) ?? "")) throw error;
    }
  }

  stats(): CgroupStats {
    return readStats(this.#dependencies.fs, this.#places);
  }

  oomKills(): number {
    return readOomKills(this.#dependencies.fs, this.#places);
  }

  async remove(): Promise<void> {
    const { fs, clock } = this.#dependencies;
    let left = this.hierarchies.map(({ directory }) => directory);
    const deadline = clock.monotonicMs() + removeTimeoutMs;
    try {
      for (let attempt = 0; ; attempt++) {
        left = left.filter((directory) => !removeCgroup(fs, directory));
        if (left.length === 0) break;
        if (clock.monotonicMs() > deadline)
          throw new EngineError("conflict", `cannot remove the cgroup ${left[0]}: processes are still in it`);
        // A process that was reaped a moment ago may still count: mostly one short wait is enough.
        await clock.sleep(Math.min(1 + attempt, 50));
      }
    } finally {
      this.#devices.close();
    }
  }
}
