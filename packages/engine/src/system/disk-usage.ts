/** docker system df: the disk space of images, containers and volumes. */
import { EngineError, isEngineError } from "@fathom/base";
import type { Container } from "@fathom/containers";
import { diskUsageTypes, type ContainerSummary, type DiskUsage, type DiskUsageType, type Volume } from "@fathom/spec";
import type { ImageBackend } from "../backend.ts";
import { newestFirst, summariseAll } from "../containers/shown/list.ts";
import type { EngineContext } from "../context.ts";
import { shownKey } from "../build/build-backend.ts";
import type { Builder } from "@fathom/builder";
import type { VolumePart } from "../contract.ts";

/** Other users of disk space, besides containers. */
export interface DiskUsers {
  readonly images: Pick<ImageBackend, "list">;
  readonly builder: Pick<Builder, "cache">;
  readonly volumes: { readonly backend: Pick<VolumePart["backend"], "list"> } & Pick<VolumePart, "usage">;
}

export async function diskUsage(engine: EngineContext, users: DiskUsers, types: readonly string[]): Promise<DiskUsage> {
  for (const type of types)
    if (!diskUsageTypes.some((known) => known === type))
      throw new EngineError("invalid-argument", `unknown object type: ${type}`);
  const wants = (type: DiskUsageType): boolean => types.length === 0 || types.includes(type);
  return {
    ...(wants("image") ? { ImageUsage: await imageUsage(engine, users) } : {}),
    ...(wants("container") ? { ContainerUsage: await containerUsage(engine) } : {}),
    ...(wants("volume") ? { VolumeUsage: await volumeUsage(engine, users) } : {}),
    ...(wants("build-cache") ? { BuildCacheUsage: cacheUsage(users.builder) } : {}),
  };
}

function cacheUsage(builder: DiskUsers["builder"]): NonNullable<DiskUsage["BuildCacheUsage"]> {
  const Items = builder.cache().map(({ key, description, size, createdAt, usedAt, uses }) => ({
    ID: shownKey(key),
    Type: "regular",
    Description: description,
    InUse: false,
    Shared: false,
    Size: size,
    CreatedAt: createdAt,
    LastUsedAt: usedAt,
    UsageCount: uses,
  }));
  const size = Items.reduce((sum, item) => sum + item.Size, 0);
  return { ActiveCount: 0, TotalCount: Items.length, TotalSize: size, Reclaimable: size, Items };
}

async function imageUsage(engine: EngineContext, users: DiskUsers): Promise<NonNullable<DiskUsage["ImageUsage"]>> {
  const request = { all: false, sharedSize: true, filters: {} };
  const Items = await users.images.list(request);
  const total = engine.store.layers.list().reduce((sum, layer) => sum + layer.size, 0);
  // Space of an image in use cannot be reclaimed; layers that it shares with other images count with it.
  const inUse = Items.filter((image) => image.Containers > 0).reduce((sum, image) => sum + image.Size, 0);
  return {
    ActiveCount: Items.filter((image) => image.Containers > 0).length,
    TotalCount: Items.length,
    TotalSize: total,
    Reclaimable: Math.max(0, total - inUse),
    Items,
  };
}

async function containerUsage(engine: EngineContext): Promise<NonNullable<DiskUsage["ContainerUsage"]>> {
  const containers = newestFirst(engine.containers.list());
  const Items = await summariseAll(engine, containers, true);
  const size = (list: readonly ContainerSummary[]): number => list.reduce((sum, item) => sum + (item.SizeRw ?? 0), 0);
  const active = (item: ContainerSummary): boolean => ["running", "paused", "restarting"].includes(item.State);
  return {
    ActiveCount: Items.filter(active).length,
    TotalCount: Items.length,
    TotalSize: size(Items),
    Reclaimable: size(Items.filter((item) => !active(item))),
    Items,
  };
}

async function volumeUsage(engine: EngineContext, users: DiskUsers): Promise<NonNullable<DiskUsage["VolumeUsage"]>> {
  const Items = await volumesWithUsage(engine, users);
  const size = (list: readonly Volume[]): number =>
    list.reduce((sum, item) => sum + Math.max(0, item.UsageData?.Size ?? 0), 0);
  const active = (item: Volume): boolean => (item.UsageData?.RefCount ?? 0) > 0;
  return {
    ActiveCount: Items.filter(active).length,
    TotalCount: Items.length,
    TotalSize: size(Items),
    Reclaimable: size(Items.filter((item) => !active(item))),
    Items,
  };
}

/** For each volume, how many containers have it. */
export function volumesInUse(containers: readonly Container[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { record } of containers)
    for (const name of new Set(record.mounts.map((mount) => mount.name)))
      if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

async function volumesWithUsage(engine: EngineContext, users: DiskUsers): Promise<readonly Volume[]> {
  const { Volumes } = await users.volumes.backend.list({});
  const inUse = volumesInUse(engine.containers.list());
  return Promise.all(
    Volumes.map(async (volume) => ({
      ...volume,
      UsageData: {
        RefCount: inUse.get(volume.Name) ?? 0,
        Size: await volumeSize(engine, users, volume.Name),
      },
    })),
  );
}

/** As in dockerd, -1 when it cannot be known. */
async function volumeSize(engine: EngineContext, users: DiskUsers, name: string): Promise<number> {
  try {
    return await users.volumes.usage(name);
  } catch (error) {
    if (!isEngineError(error, "timeout")) throw error;
    engine.logger.warn("the size of a volume is not known", { volume: name, error: error.message });
    return -1;
  }
}
