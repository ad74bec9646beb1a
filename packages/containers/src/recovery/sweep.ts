/** Leftovers of a killed daemon that no row names. */
import { existsSync, readdirSync } from "node:fs";
import { basename } from "node:path";
import type { Cgroup } from "@fathom/runtime";
import type { ContainersContext } from "../context.ts";
import { containerPaths, containersRoot } from "../paths.ts";
import { clearRunDirectory } from "../run-directory.ts";
import { unmountImages } from "../steps/image-mounts.ts";
import { unmountSharedMemory } from "../steps/shared-memory.ts";
import { attempt } from "./attempt.ts";

/** Cgroups, layers and directories that no container's row names. */
export async function sweep(engine: ContainersContext): Promise<void> {
  const parent = engine.stems.cgroupPath("", "x").replace(/\/x$/, "");
  await sweepCgroups(engine, parent);
  await sweepOwnParents(engine, parent);
  await sweepLayers(engine);
  await sweepDirectories(engine);
}

async function sweepCgroups(engine: ContainersContext, parent: string): Promise<void> {
  const containers = engine.containers.list();
  const running = new Set(
    containers.flatMap(({ process, record }) => (process === undefined ? [] : record.cgroupPath)),
  );
  const stems = new Set(engine.stems.ids());
  const known = new Set(containers.map(({ id }) => id));
  for (const id of engine.cgroups.list(parent).map((name) => basename(name))) {
    const path = `${parent}/${id}`;
    // Only names in our form: users may keep cgroups of their own below the parent.
    if (running.has(path) || stems.has(id) || !/^[0-9a-f]{64}$/.test(id)) continue;
    await attempt(engine, `removing the leftover cgroup ${path}`, async () => {
      const cgroup = engine.cgroups.open(path);
      if (known.has(id) || !(await staysInUse(engine, cgroup))) return removeCgroup(cgroup);
      engine.logger.warn(
        "a cgroup below the cgroup parent holds processes of no container: does another engine use this parent?",
        { cgroup: path, remedy: "give each daemon its own --cgroup-parent" },
      );
    });
  }
}

/** Those of containers with a parent of their own, whose start was interrupted: no list has them. */
async function sweepOwnParents(engine: ContainersContext, parent: string): Promise<void> {
  for (const { id, process, record } of engine.containers.list())
    if (process === undefined && !record.cgroupPath.startsWith(`${parent}/`))
      await attempt(engine, `removing the leftover cgroup of ${id}`, () =>
        removeCgroup(engine.cgroups.open(record.cgroupPath)),
      );
}

async function removeCgroup(cgroup: Cgroup): Promise<void> {
  await cgroup.kill();
  await cgroup.remove();
}

async function sweepLayers({ containers, store, ...engine }: ContainersContext): Promise<void> {
  const imageLayers = new Set(
    containers.list().flatMap(({ record }) => record.mounts.flatMap(({ image }) => image?.layer ?? [])),
  );
  for (const { key: id, owner } of store.snapshots.list())
    if (owner !== "build" && containers.byId(id) === undefined && !imageLayers.has(id))
      await attempt(engine, `removing the leftover layer ${id}`, () => store.snapshots.remove(id));
}

async function sweepDirectories(engine: ContainersContext): Promise<void> {
  const { config, containers } = engine;
  for (const id of readdirSync(containersRoot(config))) {
    const container = containers.byId(id);
    const { directory, description } = containerPaths(config, id);
    if (container === undefined) {
      // It is no leftover, but it could not be added to the database. Leave it for a person to examine.
      if (existsSync(description)) continue;
      // Do not wait for it: it may contain a large log, and nothing else needs its place.
      void attempt(engine, `removing the leftover directory ${id}`, () => engine.files.remove(directory));
    } else if (container.process === undefined && !containers.unwritten.has(container))
      for (const clear of [
        async () => unmountSharedMemory(engine, container.record),
        async () => unmountImages(engine, container.record),
        () => clearRunDirectory(engine, id),
      ])
        await attempt(engine, `clearing what a run of ${id} left`, clear);
  }
}

/**
 * A running container has a row, and a stem of the previous daemon ends with it within moments. So processes that stay in a cgroup without a
 * row belong to another engine, and we must not kill them.
 */
async function staysInUse(engine: ContainersContext, cgroup: Cgroup): Promise<boolean> {
  for (let turn = 0; turn < 50; turn++) {
    if (cgroup.processes().length === 0) return false;
    await engine.clock.sleep(20);
  }
  return true;
}
