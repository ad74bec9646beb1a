/** The daemon's account of its disk space, and the totals of `system df`. */
import { humanSize } from "@fathom/spec";
import type { ContainerSummary } from "../container-view/ps.ts";
import type { ImageSummary } from "../image/images.ts";
import type { VolumeSummary } from "../volume/volume-ls.ts";

export interface CacheRecord {
  readonly ID: string;
  readonly Parents?: readonly string[] | null;
  readonly Type: string;
  readonly Description: string;
  readonly InUse: boolean;
  readonly Shared: boolean;
  readonly Size: number;
  readonly CreatedAt: string;
  readonly LastUsedAt?: string | null;
  readonly UsageCount: number;
}

export interface DiskUsage {
  readonly LayersSize: number;
  readonly Images: readonly ImageSummary[] | null;
  readonly Containers: readonly ContainerSummary[] | null;
  readonly Volumes: readonly VolumeSummary[] | null;
  readonly BuildCache: readonly CacheRecord[] | null;
}

export interface Total {
  readonly type: string;
  readonly count: number;
  readonly active: number;
  readonly size: number;
  readonly reclaimable: number;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

function imagesTotal(images: readonly ImageSummary[], size: number): Total {
  const used = images.filter((image) => image.Containers !== 0 && image.Size !== -1 && image.SharedSize !== -1);
  return {
    type: "Images",
    count: images.length,
    active: images.filter((image) => image.Containers > 0).length,
    size,
    reclaimable: size - sum(used.map((image) => image.Size - image.SharedSize)),
  };
}

function containersTotal(containers: readonly ContainerSummary[]): Total {
  const active = containers.filter(({ State }) => ["running", "paused", "restarting"].includes(State));
  const bytes = (list: readonly ContainerSummary[]): number => sum(list.map(({ SizeRw }) => SizeRw ?? 0));
  const size = bytes(containers);
  return {
    type: "Containers",
    count: containers.length,
    active: active.length,
    size,
    reclaimable: size - bytes(active),
  };
}

function volumesTotal(volumes: readonly VolumeSummary[]): Total {
  const used = volumes.filter(({ UsageData }) => (UsageData?.RefCount ?? 0) > 0);
  const measured = volumes.filter(({ UsageData }) => (UsageData?.Size ?? -1) !== -1);
  const bytes = (list: readonly VolumeSummary[]): number => sum(list.map(({ UsageData }) => UsageData?.Size ?? 0));
  return {
    type: "Local Volumes",
    count: volumes.length,
    active: used.length,
    size: bytes(measured),
    reclaimable: bytes(measured.filter(({ UsageData }) => UsageData?.RefCount === 0)),
  };
}

function cacheTotal(records: readonly CacheRecord[]): Total {
  const size = cacheSize(records);
  const used = records.filter((record) => record.InUse && !record.Shared);
  return {
    type: "Build Cache",
    count: records.length,
    active: records.filter(({ InUse }) => InUse).length,
    size,
    reclaimable: size - sum(used.map(({ Size }) => Size)),
  };
}

/** Bytes of the build cache. What images share with it counts for the images. */
export function cacheSize(records: readonly CacheRecord[]): number {
  return sum(records.filter(({ Shared }) => !Shared).map(({ Size }) => Size));
}

export function totalsOf({ LayersSize, Images, Containers, Volumes, BuildCache }: DiskUsage): readonly Total[] {
  return [
    imagesTotal(Images ?? [], LayersSize),
    containersTotal(Containers ?? []),
    volumesTotal(Volumes ?? []),
    cacheTotal(BuildCache ?? []),
  ];
}

/** "1.2MB (40%)". The build cache has no percentage in docker. */
export function reclaimableText({ type, size, reclaimable }: Total): string {
  return size > 0 && type !== "Build Cache"
    ? `${humanSize(reclaimable)} (${Math.trunc((reclaimable * 100) / size)}%)`
    : humanSize(reclaimable);
}
