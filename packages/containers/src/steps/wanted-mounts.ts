/** The mounts of a new container. Their volumes may not exist yet. */
import { randomId } from "@fathom/base";
import type { VolumeLookup, VolumeSettings } from "@fathom/volumes";
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
