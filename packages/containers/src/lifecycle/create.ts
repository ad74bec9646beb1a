/** A new container, from its record: all that it has outside the row is made, or nothing is. */
import { mkdirSync } from "node:fs";
import { fillVolumes } from "@fathom/volumes";
import type { ContainersContext } from "../context.ts";
import { containerPaths } from "../paths.ts";
import type { ContainerRecord, MountPoint } from "../record.ts";
import { createImageLayer, removeImageLayers } from "../steps/image-mounts.ts";
import { ensureVolume, plannedMounts, type WantedMount } from "../steps/wanted-mounts.ts";

/** Layer, directory, volumes, row; the name must be reserved. What fails takes the others with it. */
export async function makeContainer(
  engine: ContainersContext,
  record: ContainerRecord,
  wanted: readonly WantedMount[],
): Promise<void> {
  const { directory } = containerPaths(engine.config, record.id);
  await using undo = new AsyncDisposableStack();
  // Until the row is there, a crash leaves a layer and a directory without one: the next start sweeps them away.
  undo.defer(() => engine.files.remove(directory));
  mkdirSync(directory, { mode: 0o710 });
  const layer = engine.store.snapshots.prepare(record.id, record.topLayer, "container");
  undo.defer(() => engine.store.snapshots.remove(record.id));

  const makesMore = wanted.some((mount) => mount.volume !== undefined || mount.image !== undefined);
  if (!makesMore) {
    const container = engine.containers.insert({ ...record, mounts: plannedMounts(wanted) });
    undo.move();
    await engine.machine.apply(container, "made");
    return;
  }
  // A volume is not swept away by a crash's sweep: the row names the half-made container first.
  const container = engine.containers.insert({ ...record, mounts: plannedMounts(wanted), pending: "creating" });
  undo.defer(() => engine.machine.apply(container, "removed"));
  undo.defer(() => removeImageLayers(engine, container.record));
  for (const { image } of wanted) if (image !== undefined) createImageLayer(engine, image);
  const made: string[] = [];
  undo.defer(async () => {
    for (const name of made) await engine.volumes.removeIfUnused(name, record.id).catch(() => false);
  });
  const mounts: MountPoint[] = [];
  for (const mount of wanted) {
    const done = await ensureVolume(engine.volumes, mount);
    mounts.push(done);
    if (done.anonymous && done.name !== undefined && mount.volume !== undefined) made.push(done.name);
  }
  // One that a container uses may be mounted, from a server that is away.
  const firstUses = mounts.filter((mount) => mount.type === "volume" && mount.copyData && mount.source !== "");
  for (const { source } of firstUses) await engine.files.kindOf(source);
  await fillVolumes(engine, layer, firstUses);
  // Shown from here on: nothing that can fail comes after it.
  const followed = engine.machine.apply(container, "made", { patch: { mounts } });
  undo.move();
  await followed;
}
