/** What a daemon that was killed left and no row names. */
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
  const running = new Set(
    engine.containers
      .list()
      .filter((container) => container.process !== undefined)
      .map((container) => container.record.cgroupPath),
  );
  const stems = new Set(engine.stems.ids());
  const known = new Set(engine.containers.list().map(({ id }) => id));
  const parent = engine.stems.cgroupPath("", "x").replace(/\/x$/, "");
  for (const name of engine.cgroups.list(parent)) {
    const path = `${parent}/${basename(name)}`;
    // Only what has the form of ours: somebody may keep cgroups of their own below the parent.
    if (running.has(path) || stems.has(basename(name)) || !/^[0-9a-f]{64}$/.test(basename(name))) continue;
    await attempt(engine, `removing the leftover cgroup ${path}`, async () => {
      const cgroup = engine.cgroups.open(path);
      if (!known.has(basename(name)) && (await staysInUse(engine, cgroup))) {
        engine.logger.warn(
          "a cgroup below the cgroup parent holds processes of no container: does another engine use this parent?",
          {
            cgroup: path,
            remedy: "give each daemon its own --cgroup-parent",
          },
        );
        return;
      }
      await cgroup.kill();
      await cgroup.remove();
    });
  }
  const imageLayers = new Set(
    engine.containers.list().flatMap(({ record }) => record.mounts.flatMap(({ image }) => image?.layer ?? [])),
  );
  // Those of containers with a parent of their own, whose start was interrupted: no list has them.
  for (const { id, process, record } of engine.containers.list())
    if (process === undefined && !record.cgroupPath.startsWith(`${parent}/`))
      await attempt(engine, `removing the leftover cgroup of ${id}`, async () => {
        const cgroup = engine.cgroups.open(record.cgroupPath);
        await cgroup.kill();
        await cgroup.remove();
      });
  for (const { key: id, owner } of engine.store.snapshots.list())
    if (owner !== "build" && engine.containers.byId(id) === undefined && !imageLayers.has(id))
      await attempt(engine, `removing the leftover layer ${id}`, () => engine.store.snapshots.remove(id));
  for (const id of readdirSync(containersRoot(engine.config)))
    if (engine.containers.byId(id) === undefined) {
      // It is no leftover, and could not be taken up: left for somebody to look at.
      if (existsSync(containerPaths(engine.config, id).description)) continue;
      // Not waited for: a log in it may be large, and nothing else needs its place.
      void attempt(engine, `removing the leftover directory ${id}`, () =>
        engine.files.remove(containerPaths(engine.config, id).directory),
      );
    } else if (
      engine.containers.byId(id)?.process === undefined &&
      !engine.containers.unwritten.has(engine.containers.byId(id)!)
    )
      await attempt(engine, `clearing what a run of ${id} left`, async () => {
        unmountSharedMemory(engine, engine.containers.byId(id)!.record);
        unmountImages(engine, engine.containers.byId(id)!.record);
        await clearRunDirectory(engine, id);
      });
}

/**
 * What ran has a row, and a stem of the daemon before ends with it, within moments: what lives on in a cgroup without a row is another
 * engine's, and not ours to kill.
 */
async function staysInUse(engine: ContainersContext, cgroup: Cgroup): Promise<boolean> {
  for (let turn = 0; turn < 50; turn++) {
    if (cgroup.processes().length === 0) return false;
    await engine.clock.sleep(20);
  }
  return true;
}
