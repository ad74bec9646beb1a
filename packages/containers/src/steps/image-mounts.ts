/**
 * Images as mounts of a container (`--mount type=image`): read-only, each with a layer row of its own, so that the layers stay while the
 * container exists. While it runs, the overlay is mounted below the container's directory, and the launch binds it from there.
 */
import { AT_FDCWD, detachMount, MS_PRIVATE } from "@fathom/sys";
import { mkdirSync } from "node:fs";
import { EngineError, isEngineError, randomId } from "@fathom/base";
import type { ContainerRecord } from "../record.ts";
import type { ContainersContext } from "../context.ts";
import type { MountPoint } from "../record.ts";
import { containerPaths } from "../paths.ts";

/** Finds the images and gives their mounts ids and places. @throws invalid-argument "No such image: …" */
export function resolveImageMounts<T extends MountPoint>(
  engine: ContainersContext,
  containerId: string,
  mounts: readonly T[],
): T[] {
  return mounts.map((mount) => {
    if (mount.image === undefined) return mount;
    const { reference } = mount.image;
    const layer = randomId();
    return {
      ...mount,
      source: `${containerPaths(engine.config, containerId).images}/${layer}`,
      image: { reference, id: find(engine, reference).id, layer },
    };
  });
}

function find(engine: ContainersContext, reference: string) {
  try {
    return engine.images.lookup(reference);
  } catch (error) {
    // A client answers "not found" by pulling the container's own image.
    if (isEngineError(error, "not-found"))
      throw new EngineError("invalid-argument", `${error.message}: pull it before it is mounted`, { cause: error });
    throw error;
  }
}

/** Takes the image's layers for the mount; `removeImageLayers` releases them. */
export function createImageLayer(engine: ContainersContext, image: NonNullable<MountPoint["image"]>): void {
  engine.store.snapshots.prepare(image.layer, find(engine, image.reference).topLayer, "image-mount");
}

export async function removeImageLayers(engine: ContainersContext, record: ContainerRecord): Promise<void> {
  unmountImages(engine, record);
  for (const { image } of record.mounts) if (image !== undefined) await engine.store.snapshots.remove(image.layer);
}

export function mountImages(engine: ContainersContext, record: ContainerRecord): void {
  const { sys, store } = engine;
  for (const { image, source } of record.mounts) {
    if (image === undefined) continue;
    const layer = store.snapshots.get(image.layer);
    if (layer === undefined)
      throw new EngineError("data-loss", `the layers of the mounted image ${image.reference} are missing`);
    mkdirSync(source, { recursive: true, mode: 0o700 });
    detachMount(engine.sys, source);
    const fd = sys.openOverlay(layer.mount);
    try {
      sys.moveMount(fd, AT_FDCWD, source);
    } finally {
      sys.close(fd);
    }
    sys.mount("", source, "", MS_PRIVATE, "");
  }
}

/** Does nothing when nothing is mounted. When one cannot be unmounted, the others still are. */
export function unmountImages(engine: ContainersContext, record: ContainerRecord): void {
  const failures: unknown[] = [];
  for (const { image, source } of record.mounts)
    try {
      if (image !== undefined) detachMount(engine.sys, source);
    } catch (failure) {
      failures.push(failure);
    }
  if (failures.length > 0) throw failures[0];
}
