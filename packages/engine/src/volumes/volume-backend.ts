/** Docker's volume API: its types, filters, words and events. */
import { join } from "node:path";
import { EngineError } from "@fathom/base";
import {
  parseBool,
  type Filters,
  type PruneReport,
  type Volume,
  type VolumeCreateRequest,
  type VolumeListResponse,
} from "@fathom/spec";
import { anonymousLabel, createLocalDriver, createVolumes, type VolumeInfo, type Volumes } from "@fathom/volumes";
import type { VolumeBackend } from "../backend.ts";
import type { EngineParts, VolumePart } from "../contract.ts";
import { booleanFilter, checkFilterKeys, filterValues, matchesLabels, prunesLabels } from "../filters/filters.ts";
import { nameTest } from "../filters/patterns.ts";

/** Opens the volumes below the data root. */
export function createVolumePart(parts: EngineParts): VolumePart {
  const { config, sys, files, store, uses, clock, logger, events } = parts;
  const local = createLocalDriver({ root: join(config.dataRoot, "volumes"), sys, files, clock, logger });
  const volumes = createVolumes({
    drivers: [local],
    defaultDriver: local.name,
    database: store.database,
    uses,
    onChange: ({ kind, name, driver }) =>
      events.publish("volume", kind === "created" ? "create" : "destroy", name, { driver }),
    clock,
    logger,
  });
  return {
    backend: new DockerVolumes(volumes, parts),
    lookup: volumes,
    usage: (name) => volumes.usage(name),
  };
}

class DockerVolumes implements VolumeBackend {
  readonly #volumes: Volumes;
  readonly #parts: Pick<EngineParts, "uses" | "events">;

  constructor(volumes: Volumes, parts: Pick<EngineParts, "uses" | "events">) {
    this.#volumes = volumes;
    this.#parts = parts;
  }

  async create(body: VolumeCreateRequest): Promise<Volume> {
    const anonymous = body.Name === "";
    const { name } = await this.#volumes.ensure({
      name: body.Name,
      driver: body.Driver,
      options: body.DriverOpts ?? {},
      labels: anonymous ? { ...body.Labels, [anonymousLabel]: "" } : (body.Labels ?? {}),
    });
    return show(this.#volumes.describe(name));
  }

  async inspect(name: string): Promise<Volume> {
    return show(this.#volumes.describe(name));
  }

  async list(filters: Filters): Promise<VolumeListResponse> {
    checkFilterKeys(filters, ["dangling", "driver", "label", "name"]);
    const dangling = booleanFilter(filters, "dangling");
    const drivers = filterValues(filters, "driver");
    const names = filterValues(filters, "name").map(nameTest);
    const inUse = dangling === undefined ? undefined : this.#parts.uses.volumesInUse();
    const found = this.#volumes
      .list()
      .filter(
        ({ name, driver, labels }) =>
          (names.length === 0 || names.some((matches) => matches(name))) &&
          (drivers.length === 0 || drivers.includes(driver)) &&
          matchesLabels(labels ?? {}, filterValues(filters, "label")) &&
          (inUse === undefined || dangling !== inUse.has(name)),
      );
    return { Volumes: found.map(show), Warnings: null };
  }

  async remove(name: string, force: boolean): Promise<void> {
    if (force && this.#volumes.get(name) === undefined) return;
    await this.#volumes.remove(name);
  }

  async prune(filters: Filters): Promise<PruneReport> {
    checkFilterKeys(filters, ["all", "label", "label!"]);
    const all = allFilter(filters);
    const { names, reclaimed } = await this.#volumes.prune((volume) => {
      const labels = volume.labels ?? {};
      return (all || anonymousLabel in labels) && prunesLabels(labels, filters);
    });
    this.#parts.events.publish("volume", "prune", "", { reclaimed: String(reclaimed) });
    return { VolumesDeleted: names, SpaceReclaimed: reclaimed };
  }
}

function show(volume: VolumeInfo): Volume {
  return {
    CreatedAt: volume.createdAt.replace(/\.\d+Z$/, "Z"),
    Driver: volume.driver,
    Labels: volume.labels,
    Mountpoint: volume.mountpoint,
    Name: volume.name,
    Options: volume.options,
    Scope: volume.scope,
  };
}

/** Whether named volumes are pruned too. @throws invalid-argument in Docker's words */
function allFilter(filters: Filters): boolean {
  const values = filterValues(filters, "all");
  if (values.length > 1)
    throw new EngineError("invalid-argument", `invalid filter 'all=[${values.join(" ")}]': only one value is expected`);
  const [value = "false"] = values;
  const all = parseBool(value);
  if (all === undefined)
    throw new EngineError(
      "invalid-argument",
      `invalid filter 'all': strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`,
    );
  return all;
}
