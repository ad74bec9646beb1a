/** Volumes in memory: names, labels and users, without places on disk. */
import { EngineError, randomId } from "@fathom/base";
import type { Filters, PruneReport, Volume, VolumeCreateRequest, VolumeListResponse } from "@fathom/spec";
import { anonymousLabel } from "@fathom/volumes";
import type { VolumeBackend } from "../backend.ts";

export class FakeVolumes implements VolumeBackend {
  readonly volumes = new Map<string, Volume>();
  /** Names of volumes that a container uses. */
  readonly inUse = new Set<string>();

  async list(filters: Filters): Promise<VolumeListResponse> {
    refuseFilters(filters);
    return { Volumes: [...this.volumes.values()], Warnings: null };
  }

  async create({ Name, Driver, DriverOpts, Labels }: VolumeCreateRequest): Promise<Volume> {
    const name = Name === "" ? randomId() : Name;
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name))
      throw new EngineError("invalid-argument", `create ${name}: ${name} is no name of a volume`);
    const volume: Volume = this.volumes.get(name) ?? {
      CreatedAt: "2026-01-01T00:00:00Z",
      Driver: Driver || "local",
      Labels: Name === "" ? { ...Labels, [anonymousLabel]: "" } : (Labels ?? {}),
      Mountpoint: `/fake/volumes/${name}/_data`,
      Name: name,
      Options: DriverOpts,
      Scope: "local",
    };
    this.volumes.set(name, volume);
    return volume;
  }

  async inspect(name: string): Promise<Volume> {
    return this.#find(name);
  }

  async remove(name: string, force: boolean): Promise<void> {
    if (force && !this.volumes.has(name)) return;
    this.#find(name);
    if (this.inUse.has(name)) throw new EngineError("conflict", `remove ${name}: volume is in use`);
    this.volumes.delete(name);
  }

  async prune(filters: Filters): Promise<PruneReport> {
    const { all = [], ...others } = filters;
    refuseFilters(others);
    const names = [...this.volumes.values()]
      .filter(({ Name, Labels }) => !this.inUse.has(Name) && (all.length > 0 || anonymousLabel in (Labels ?? {})))
      .map(({ Name }) => Name);
    for (const name of names) this.volumes.delete(name);
    return { VolumesDeleted: names, SpaceReclaimed: 0 };
  }

  #find(name: string): Volume {
    const volume = this.volumes.get(name);
    if (volume === undefined) throw new EngineError("not-found", `get ${name}: no such volume`);
    return volume;
  }
}

/** A fake that ignores a filter would return too much. */
export function refuseFilters(filters: Filters): void {
  for (const name of Object.keys(filters)) throw new EngineError("invalid-argument", `the fake has no filter ${name}`);
}
