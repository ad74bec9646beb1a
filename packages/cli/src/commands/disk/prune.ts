/** What the prune commands have in common: each removes one kind of object and says what it removed. */
import type { Client } from "@fathom/client";
import { filtersQuery } from "../../session/filters.ts";

export interface Pruned {
  /** The list of removed objects, with an empty line after it; "" when nothing was removed. */
  readonly text: string;
  readonly bytes: number;
}

function pruned(title: string, names: readonly string[], bytes: number): Pruned {
  return names.length === 0 ? { text: "", bytes: 0 } : { text: `${title}\n${names.join("\n")}\n\n`, bytes };
}

interface Report {
  readonly SpaceReclaimed?: number;
}

export async function pruneContainers(client: Client, filters: readonly string[]): Promise<Pruned> {
  const report = await client.json<Report & { ContainersDeleted: readonly string[] | null }>(
    "POST",
    "/containers/prune",
    { query: { filters: filtersQuery(filters) } },
  );
  return pruned("Deleted Containers:", report.ContainersDeleted ?? [], report.SpaceReclaimed ?? 0);
}

export async function pruneNetworks(client: Client, filters: readonly string[]): Promise<Pruned> {
  const report = await client.json<{ NetworksDeleted: readonly string[] | null }>("POST", "/networks/prune", {
    query: { filters: filtersQuery(filters) },
  });
  return pruned("Deleted Networks:", report.NetworksDeleted ?? [], 0);
}

export async function pruneVolumes(client: Client, filters: readonly string[]): Promise<Pruned> {
  const report = await client.json<Report & { VolumesDeleted: readonly string[] | null }>("POST", "/volumes/prune", {
    query: { filters: filtersQuery(filters) },
  });
  return pruned("Deleted Volumes:", report.VolumesDeleted ?? [], report.SpaceReclaimed ?? 0);
}

export async function pruneImages(client: Client, filters: readonly string[], all: boolean): Promise<Pruned> {
  const report = await client.json<
    Report & { ImagesDeleted: readonly { readonly Untagged?: string; readonly Deleted?: string }[] | null }
  >("POST", "/images/prune", { query: { filters: filtersQuery([`dangling=${!all}`, ...filters]) } });
  const names = (report.ImagesDeleted ?? []).map(({ Untagged, Deleted }) =>
    (Untagged ?? "") === "" ? `deleted: ${Deleted}` : `untagged: ${Untagged}`,
  );
  return pruned("Deleted Images:", names, report.SpaceReclaimed ?? 0);
}

/** @param keepBytes The newest entries up to this size stay. */
export async function pruneBuildCache(
  client: Client,
  filters: readonly string[],
  all: boolean,
  keepBytes?: number,
): Promise<Pruned> {
  const report = await client.json<Report & { CachesDeleted: readonly string[] | null }>("POST", "/build/prune", {
    query: { filters: filtersQuery(filters), all: all ? 1 : undefined, "keep-storage": keepBytes },
  });
  const { text } = pruned("Deleted build cache objects:", report.CachesDeleted ?? [], 0);
  return { text, bytes: report.SpaceReclaimed ?? 0 };
}
