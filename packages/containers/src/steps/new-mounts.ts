/** The mounts of a new container: first as they are requested; then their volumes are made, and filled with the image's content at their place. */
import { randomId } from "@fathom/base";
import type { Snapshot } from "@fathom/store";
import { fillVolumes, type VolumeLookup, type VolumeSettings } from "@fathom/volumes";
import type { ContainersContext } from "../context.ts";
import type { MountPoint } from "../record.ts";

/** A requested mount; its volume may not exist yet. */
export interface WantedMount extends MountPoint {
  readonly volume: VolumeSettings | undefined;
}

/** The mounts before their volumes exist, with their future names. */
export function plannedMounts(wanted: readonly WantedMount[]): MountPoint[] {
  return wanted.map(({ volume, ...mount }) => (volume === undefined ? mount : { ...mount, name: volume.name }));
}

/** The mounts as they will be when their volumes exist, with their places. Nothing is made. */
export function previewMounts(volumes: VolumeLookup, wanted: readonly WantedMount[]): MountPoint[] {
  return wanted.map(({ volume, ...mount }) => {
    if (volume === undefined) return mount;
    const name = volume.name === "" ? randomId() : volume.name;
    return { ...mount, name, source: volumes.get(name)?.mountpoint ?? volumes.placeOf(name) };
  });
}

export interface NewVolumes {
  /** As the container will have them. */
  readonly mounts: readonly MountPoint[];
  /** Volumes that nobody named: they are removed with the container. */
  readonly made: readonly string[];
}

/** All of them; after a failure, no volume that nobody named is left. */
export async function makeVolumes(
  volumes: VolumeLookup,
  id: string,
  wanted: readonly WantedMount[],
): Promise<NewVolumes> {
  const made: string[] = [];
  const mounts: MountPoint[] = [];
  try {
    for (const mount of wanted) {
      const done = await ensureVolume(volumes, mount);
      mounts.push(done);
      if (done.anonymous && done.name !== undefined && mount.volume !== undefined) made.push(done.name);
    }
    return { mounts, made };
  } catch (error) {
    await removeMadeVolumes(volumes, id, made);
    throw error;
  }
}

/** Makes the volume if it is missing, and returns the mount with its source. */
async function ensureVolume(volumes: VolumeLookup, wanted: WantedMount): Promise<MountPoint> {
  const { volume, ...mount } = wanted;
  if (volume === undefined) return mount;
  const handle = await volumes.ensure(volume);
  return { ...mount, name: handle.name, driver: handle.driver, source: handle.mountpoint };
}

/** A volume that cannot be removed stays: without a user it does no harm. */
export async function removeMadeVolumes(
  volumes: Pick<VolumeLookup, "removeIfUnused">,
  id: string,
  names: readonly string[],
): Promise<void> {
  for (const name of names) await volumes.removeIfUnused(name, id).catch(() => false);
}

export async function fillFirstUses(
  engine: ContainersContext,
  layer: Snapshot,
  mounts: readonly MountPoint[],
): Promise<void> {
  const firstUses = mounts.filter((mount) => mount.type === "volume" && mount.copyData && mount.source !== "");
  // A volume that another container uses may be mounted from a server that does not answer.
  for (const { source } of firstUses) await engine.files.kindOf(source);
  await fillVolumes(engine, layer, firstUses);
}
