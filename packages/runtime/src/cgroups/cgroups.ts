/**
 * The cgroups of this machine: v1, v2, or both at once. Creating one is only a mkdir per hierarchy. What a parent needs (delegated controllers
 * on v2, an inheritable cpuset on v1) is done once per parent.
 */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { EngineError, messageOf, systemClock, errnoOf } from "@fathom/base";
import type { CgroupHierarchyView } from "../compile/cgroup-mounts.ts";
import type { Cgroup, Cgroups, CgroupSupport } from "./contract.ts";
import { HierarchyCgroup, type CgroupDependencies } from "./cgroup.ts";
import type { DeviceState } from "./device-limits.ts";
import { directoryOf, removeCgroup, viewOf } from "./directories.ts";
import { hostFileSystem } from "./filesystem.ts";
import { checkCgroupPath, findHierarchies, type Hierarchy, type HierarchySet } from "./hierarchies.ts";
import type { ControllerPlace } from "./limits.ts";
import { findSupport } from "./support.ts";

/** Controllers of v2 that our limits need; other controllers stay unchanged. */
const unifiedControllers = ["cpuset", "cpu", "io", "memory", "pids"] as const;

/** The hierarchies of this machine, from /proc/self/mountinfo. Errors: "unavailable" when there are none. */
export function findMountedHierarchies(): HierarchySet {
  return findHierarchies(readFileSync("/proc/self/mountinfo", "utf8"), (mountPoint) =>
    hostFileSystem.read(`${mountPoint}/cgroup.controllers`),
  );
}

/** The cgroups of this machine. Errors: "unavailable" when there are none. */
export function openCgroups(sys?: CgroupDependencies["sys"]): Cgroups {
  return createCgroups(findMountedHierarchies(), {
    fs: hostFileSystem,
    clock: systemClock,
    kill: (pid, signal) => void process.kill(pid, signal),
    ...(sys === undefined ? {} : { sys }),
  });
}

export function createCgroups(set: HierarchySet, dependencies: CgroupDependencies): Cgroups {
  return new MountedCgroups(set, dependencies);
}

class MountedCgroups implements Cgroups {
  readonly driver = "cgroupfs";
  readonly version: Cgroups["version"];
  readonly controllers: readonly string[];
  readonly support: CgroupSupport;
  readonly #hierarchies: readonly Hierarchy[];
  readonly #dependencies: CgroupDependencies;
  /** Host directories of parents that are prepared for children. */
  readonly #ready = new Set<string>();

  constructor(set: HierarchySet, dependencies: CgroupDependencies) {
    this.version = set.version;
    this.#hierarchies = set.hierarchies;
    this.#dependencies = dependencies;
    this.support = findSupport(set.hierarchies, dependencies.fs);
    this.controllers = set.hierarchies.flatMap(({ controllers }) =>
      controllers.filter((name) => !name.startsWith("name=")),
    );
  }

  create(given: string): Cgroup {
    const path = checkCgroupPath(given);
    const made: string[] = [];
    try {
      for (const hierarchy of this.#hierarchies) {
        const directory = directoryOf(hierarchy, path);
        this.#makeFresh(hierarchy, directory);
        made.push(directory);
      }
    } catch (error) {
      for (const directory of made.toReversed()) this.#tryRemove(directory);
      throw error;
    }
    return this.#cgroup(path, "fresh");
  }

  open(given: string): Cgroup {
    return this.#cgroup(checkCgroupPath(given), "unknown");
  }

  list(given: string): string[] {
    const parent = checkCgroupPath(given);
    const names = new Set<string>();
    for (const hierarchy of this.#hierarchies) {
      try {
        for (const name of this.#dependencies.fs.directories(directoryOf(hierarchy, parent))) names.add(name);
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error;
      }
    }
    return [...names].sort();
  }

  #cgroup(path: string, state: DeviceState): Cgroup {
    const views: CgroupHierarchyView[] = [];
    const places = new Map<string, ControllerPlace>();
    for (const hierarchy of this.#hierarchies) {
      const view = viewOf(hierarchy, path);
      views.push(view);
      for (const controller of hierarchy.controllers) places.set(controller, view);
    }
    return new HierarchyCgroup(path, views, places, state, this.#dependencies);
  }

  /** A new directory: one that a crash left is removed first, so that its counters do not count. */
  #makeFresh(hierarchy: Hierarchy, directory: string): void {
    const { fs } = this.#dependencies;
    const parent = dirname(directory);
    if (!this.#ready.has(parent)) this.#prepareParent(hierarchy, parent);
    for (let attempt = 0; ; attempt++) {
      try {
        fs.mkdir(directory);
        return;
      } catch (error) {
        const errno = errnoOf(error);
        if (attempt < 2 && errno === "ENOENT") {
          // Another program has removed the parent since then.
          this.#ready.delete(parent);
          this.#prepareParent(hierarchy, parent);
        } else if (attempt < 2 && errno === "EEXIST" && this.#tryRemove(directory)) continue;
        else if (errno === "EEXIST")
          throw new EngineError("conflict", `the cgroup ${directory} exists and has processes in it`, { cause: error });
        else throw cannotMake(directory, error);
      }
    }
  }

  #tryRemove(directory: string): boolean {
    try {
      return removeCgroup(this.#dependencies.fs, directory);
    } catch {
      return false;
    }
  }

  /** Makes `parent` and all cgroups above it, and enables limits for their children. */
  #prepareParent(hierarchy: Hierarchy, parent: string): void {
    if (this.#ready.has(parent)) return;
    const { fs } = this.#dependencies;
    const { mountPoint } = hierarchy;
    if (parent !== mountPoint) {
      this.#prepareParent(hierarchy, dirname(parent));
      try {
        fs.mkdir(parent);
      } catch (error) {
        if (errnoOf(error) !== "EEXIST") throw cannotMake(parent, error);
      }
    }
    if (hierarchy.version === 2) this.#delegate(hierarchy, parent);
    else if (hierarchy.controllers.includes("cpuset") && parent !== mountPoint) this.#inheritCpuset(parent);
    this.#ready.add(parent);
  }

  /** v2: a controller works in children only after the parent enables it for them. */
  #delegate(hierarchy: Hierarchy, parent: string): void {
    const { fs } = this.#dependencies;
    const file = `${parent}/cgroup.subtree_control`;
    const wanted = unifiedControllers.filter((name) => hierarchy.controllers.includes(name));
    const enabled = new Set(fs.read(file).split(/\s+/));
    const missing = wanted.filter((name) => !enabled.has(name));
    if (missing.length === 0) return;
    try {
      fs.write(file, missing.map((name) => `+${name}`).join(" "));
    } catch (error) {
      if (errnoOf(error) === "EBUSY")
        throw new EngineError(
          "unavailable",
          `cannot hand the cgroup controllers ${missing.join(", ")} on below ${parent}: processes are in that cgroup itself; move them into one below it`,
          { cause: error },
        );
      throw new EngineError(
        "unavailable",
        `cannot hand the cgroup controllers ${missing.join(", ")} on below ${parent}: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  /** v1: a new cpuset is empty and accepts no process. With clone_children of its parent, the kernel fills it. */
  #inheritCpuset(parent: string): void {
    const { fs } = this.#dependencies;
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      if (fs.read(`${parent}/${file}`).trim() === "")
        fs.write(`${parent}/${file}`, fs.read(`${dirname(parent)}/${file}`).trim());
    }
    fs.write(`${parent}/cgroup.clone_children`, "1");
  }
}

/** A parent from the request may be below one of the kernel's files, or longer than a path can be. */
function cannotMake(directory: string, error: unknown): EngineError {
  const ofTheName = ["ENOTDIR", "EINVAL", "ENAMETOOLONG"].includes(errnoOf(error) ?? "");
  return new EngineError(
    ofTheName ? "invalid-argument" : "internal",
    `cannot make the cgroup ${directory}: ${messageOf(error)}`,
    { cause: error },
  );
}
