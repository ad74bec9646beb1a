/**
 * The mounts of a container: -v strings, --mount objects, --volumes-from and the image's VOLUMEs, converted to one form with dockerd's rules
 * and words. Nothing is made here; a start makes what is missing.
 */
import { EngineError } from "@fathom/base";
import type { MountPoint, WantedMount } from "@fathom/containers";
import type { ContainerConfig, HostConfig } from "@fathom/spec";
import type { CreateRules } from "../../../backend.ts";
import { parseBind, parseVolumesFrom } from "./binds.ts";
import { parseMount } from "./mount-objects.ts";
import { anonymousVolume, checkDestination, clean } from "./mount-parts.ts";
import { parseTmpfsOptions } from "./tmpfs.ts";

export interface DonorMounts {
  /** Mounts of another container. @throws not-found */
  (nameOrId: string): readonly MountPoint[];
}

export interface MountSetting {
  /** The engine's own directory. */
  readonly dataRoot: string;
  readonly donor: DonorMounts;
  readonly rules: CreateRules | undefined;
}

/** @throws invalid-argument in Docker's words */
export function wantedMounts(
  config: ContainerConfig,
  hostConfig: HostConfig,
  { dataRoot, donor, rules }: MountSetting,
): WantedMount[] {
  const shallow = rules?.shallowReadOnlyBinds === true;
  const mounts = new Map<string, WantedMount>();
  for (const from of hostConfig.VolumesFrom ?? []) {
    const { container, mode } = parseVolumesFrom(from);
    for (const mount of donor(container))
      mounts.set(mount.destination, {
        ...mount,
        readWrite: mount.readWrite && !mode.split(",").includes("ro"),
        copyData: false,
        volume: undefined,
        ...(mount.image === undefined ? {} : { image: { ...mount.image, layer: "" } }),
      });
  }
  const explicit = new Set<string>();
  for (const [destination, options] of Object.entries(hostConfig.Tmpfs ?? {})) {
    checkDestination(destination);
    parseTmpfsOptions(options);
    explicit.add(clean(destination));
  }
  const tmpfsDestinations = new Set(explicit);
  const add = (mount: WantedMount): void => {
    if (explicit.has(mount.destination))
      throw new EngineError("invalid-argument", `Duplicate mount point: ${mount.destination}`);
    explicit.add(mount.destination);
    const keepsBelow = shallow && mount.type === "bind" && !mount.readWrite;
    mounts.set(mount.destination, keepsBelow ? { ...mount, readOnlyNonRecursive: true } : mount);
  };
  for (const bind of hostConfig.Binds ?? []) add(parseBind(bind, hostConfig.VolumeDriver, dataRoot));
  for (const mount of hostConfig.Mounts ?? []) add(parseMount(mount, dataRoot));
  for (const destination of Object.keys(config.Volumes ?? {})) {
    checkDestination(destination);
    const target = clean(destination);
    if (mounts.has(target) || tmpfsDestinations.has(target)) continue;
    mounts.set(target, anonymousVolume(target, hostConfig.VolumeDriver));
  }
  return [...mounts.values()];
}
