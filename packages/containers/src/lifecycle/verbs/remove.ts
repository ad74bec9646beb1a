/**
 * Removal. Anonymous volumes are removed before the row, and the row is marked first, so that the next daemon can finish. Everything else is
 * removed after the row: the next start removes whatever has no row.
 */
import { messageOf } from "@fathom/base";
import type { Container } from "../../container.ts";
import { endForRemoval } from "../../files/archive-writers.ts";
import { locked, type ContainersContext } from "../../context.ts";
import { removeImageLayers } from "../../steps/image-mounts.ts";
import { removeLink } from "../../links.ts";
import { unmountSharedMemory } from "../../steps/shared-memory.ts";
import { containerPaths } from "../../paths.ts";
import { ContainerProblem } from "../../problem.ts";
import { SIGKILL } from "../../signals.ts";
import { afterStart, stopProcess } from "./stop.ts";

export interface RemoveOptions {
  readonly volumes: boolean;
  readonly force: boolean;
  readonly link: boolean;
}

export async function removeByName(engine: ContainersContext, nameOrId: string, options: RemoveOptions): Promise<void> {
  if (options.link) return removeLink(engine, nameOrId);
  const container = engine.containers.find(nameOrId);
  const { name } = container.record;
  if (!options.force) checkRemovable(container, name);
  if (options.force) container.forcedRemovals++;
  if (options.force) endForRemoval(container.writers);
  try {
    await removeStopped(engine, container, options);
  } finally {
    if (options.force) container.forcedRemovals--;
  }
}

async function removeStopped(engine: ContainersContext, container: Container, options: RemoveOptions): Promise<void> {
  const { name } = container.record;
  for (let removed = false; !removed;) {
    await afterStart(engine, container);
    // It was being started when the removal came.
    if (!options.force && container.process !== undefined) checkRemovable(container, name);
    if (container.process !== undefined)
      await stopProcess(engine, container, { signal: SIGKILL, timeoutSeconds: 0 }, undefined);
    // With --rm, its own end may have removed it already.
    if (engine.containers.byId(container.id) !== container) return container.removed.promise;
    removed = await locked(engine, container, async () => {
      // A policy or a user has started it again meanwhile. This removal stops it, so it does not restart again; the next turn of the loop
      // removes it.
      if (container.process !== undefined) {
        if (!options.force) checkRemovable(container, name);
        return false;
      }
      await removeContainer(engine, container, { volumes: options.volumes });
      return true;
    });
  }
}

function checkRemovable(container: Container, name: string): void {
  const state = container.paused
    ? "paused"
    : container.process !== undefined
      ? "running"
      : container.record.state.status === "restarting"
        ? "restarting"
        : undefined;
  if (state !== undefined) throw new ContainerProblem({ kind: "not-removable", name, state });
}

/**
 * Removes a container that does not run; its key must be locked. Clients that wait for the removal also learn of a failure.
 * @throws Refused; resource-exhausted on a full disk: the container then still exists and can be removed later
 */
export async function removeContainer(
  engine: ContainersContext,
  container: Container,
  options: { readonly volumes: boolean },
): Promise<void> {
  const { machine } = engine;
  let followed: Promise<void>;
  try {
    const anonymous = options.volumes ? anonymousVolumes(container) : [];
    await machine.apply(
      container,
      "remove",
      anonymous.length === 0
        ? {}
        : { patch: { pending: "removing-with-volumes", state: { ...container.record.state, status: "removing" } } },
    );
    for (const volume of anonymous) await removeVolume(engine, container.id, volume);
    followed = machine.apply(container, "removed");
  } catch (failure) {
    await machine.apply(container, "kept", { failure });
    throw failure;
  }
  await followed;
}

function anonymousVolumes({ record }: Container): string[] {
  return record.mounts.flatMap((mount) => (mount.anonymous && mount.name !== undefined ? [mount.name] : []));
}

async function removeVolume(engine: ContainersContext, id: string, volume: string): Promise<void> {
  try {
    await engine.volumes.removeIfUnused(volume, id);
  } catch (error) {
    engine.logger.warn("removing an anonymous volume failed", { error, volume, id });
  }
}

/** Removes what a removed container leaves below the data root. Its layers stay while somebody reads them. */
export async function removeRemains(engine: ContainersContext, container: Container): Promise<void> {
  // It is still mounted when its end could not unmount it: then the directory could not be removed.
  await attempt(engine, container.id, async () => unmountSharedMemory(engine, container.record));
  if (container.layerReaders === 0) await removeLayers(engine, container);
  else container.whenUnread = () => void removeLayers(engine, container);
  await engine.logShipping.finish(container.id);
  await removeDirectory(engine, container.id);
}

/** For a container without a row. What cannot be removed now is removed at the next start. */
async function removeLayers(engine: ContainersContext, container: Container): Promise<void> {
  try {
    await removeImageLayers(engine, container.record);
  } catch (error) {
    engine.logger.warn("removing the layers of a mounted image failed", { error, id: container.id });
  }
  await attempt(engine, container.id, () => engine.store.snapshots.remove(container.id));
}

function removeDirectory(engine: ContainersContext, id: string): Promise<void> {
  const { directory } = containerPaths(engine.config, id);
  return attempt(engine, id, async () => {
    try {
      engine.store.discard(directory);
    } catch {
      // The directory is on a disk of its own, or a mount is in it.
      await engine.files.remove(directory);
    }
  });
}

/** Layer and directory of a container without a row. What cannot be removed now is removed at the next start. */
export async function removeFiles(engine: ContainersContext, id: string): Promise<void> {
  await Promise.all([attempt(engine, id, () => engine.store.snapshots.remove(id)), removeDirectory(engine, id)]);
}

async function attempt(engine: ContainersContext, id: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    engine.logger.warn("removing the files of a container failed", { error: messageOf(error), id });
  }
}
