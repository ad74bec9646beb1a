/** The volumes of all drivers: names, rows, holders, and the order of actions on one volume. */
import {
  EngineError,
  formatRfc3339Nano,
  isEngineError,
  KeyedMutex,
  messageOf,
  randomId,
  type Clock,
  type Logger,
} from "@fathom/base";
import type { Database } from "@fathom/store";
import {
  anonymousLabel,
  type PrunedVolumes,
  type RemovedVolume,
  type VolumeChange,
  type VolumeDriver,
  type VolumeHandle,
  type VolumeInfo,
  type VolumeRecord,
  type Volumes,
  type VolumeSettings,
  type VolumeUses,
} from "./contract.ts";
import { VolumeTable } from "./volume-table.ts";

export interface VolumesOptions {
  /** This function calls their `recover`. */
  readonly drivers: readonly VolumeDriver[];
  /** Name of the driver for requests without one. */
  readonly defaultDriver: string;
  readonly database: Database;
  readonly uses: VolumeUses;
  readonly onChange: (change: VolumeChange) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Opens the volumes with their stored state: what a crash left of them is finished or removed. @throws data-loss; the message names a row */
export function createVolumes(options: VolumesOptions): Volumes {
  return new ManagedVolumes(options);
}

class ManagedVolumes implements Volumes {
  readonly #options: VolumesOptions;
  readonly #drivers: ReadonlyMap<string, VolumeDriver>;
  readonly #table: VolumeTable;
  /** Containers that run with a volume. */
  readonly #holders = new Map<string, Set<string>>();
  /** Volumes that a driver is removing now: their row still exists, but will be deleted. */
  readonly #leaving = new Set<string>();
  /** Actions on one volume happen one after another. */
  readonly #mutex = new KeyedMutex();

  constructor(options: VolumesOptions) {
    this.#options = options;
    this.#drivers = new Map(options.drivers.map((driver) => [driver.name, driver]));
    this.#table = new VolumeTable(options.database, options.defaultDriver);
    for (const driver of options.drivers)
      driver.recover({
        get: (name) => this.#table.get(name),
        list: () => [...this.#table.values()].filter((record) => record.driver === driver.name),
        put: (record) => this.#table.put(record),
        delete: (name) => this.#table.delete(name),
      });
  }

  #driverOf({ driver: name }: Pick<VolumeRecord, "driver">): VolumeDriver {
    const driver = this.#drivers.get(name);
    if (driver === undefined)
      throw new EngineError(
        "not-found",
        `error looking up volume plugin ${name}: plugin ${JSON.stringify(name)} not found`,
      );
    return driver;
  }

  #find(name: string): VolumeRecord {
    const record = this.#table.get(name);
    if (record === undefined) throw new EngineError("not-found", `get ${name}: no such volume`);
    return record;
  }

  #pathOf(record: VolumeRecord): string {
    return this.#drivers.get(record.driver)?.path(record.name) ?? "";
  }

  #handle(record: VolumeRecord): VolumeHandle {
    return {
      name: record.name,
      driver: record.driver,
      mountpoint: this.#pathOf(record),
      anonymous: record.labels !== null && anonymousLabel in record.labels,
    };
  }

  #info(record: VolumeRecord): VolumeInfo {
    const scope = this.#drivers.get(record.driver)?.scope ?? "local";
    return { ...record, mountpoint: this.#pathOf(record), scope };
  }

  async ensure(settings: VolumeSettings): Promise<VolumeHandle> {
    const name = settings.name === "" ? randomId() : settings.name;
    const known = this.#table.get(name);
    // A request for an existing volume does not wait: it may be in the middle of a mount from a server that does not answer.
    if (known !== undefined && !this.#leaving.has(name)) return this.#same(known, settings);
    return this.#mutex.run(name, () => {
      const made = this.#table.get(name);
      return made === undefined ? this.#create(name, settings) : this.#same(made, settings);
    });
  }

  async #create(name: string, settings: VolumeSettings): Promise<VolumeHandle> {
    const record: VolumeRecord = {
      name,
      driver: settings.driver === "" ? this.#options.defaultDriver : settings.driver,
      createdAt: formatRfc3339Nano(this.#options.clock.nowNs()),
      labels: Object.keys(settings.labels).length === 0 ? null : settings.labels,
      options: Object.keys(settings.options).length === 0 ? null : settings.options,
    };
    try {
      const driver = this.#driverOf(record);
      driver.check(name, settings.options);
      await driver.create(record, () => this.#table.put(record));
    } catch (error) {
      const code = error instanceof EngineError ? error.code : "internal";
      throw new EngineError(code, `create ${name}: ${messageOf(error)}`, { cause: error });
    }
    this.#options.onChange({ kind: "created", name, driver: record.driver });
    return this.#handle(record);
  }

  /** A request for an existing volume with another driver is an error; labels and options do not change. */
  #same(known: VolumeRecord, settings: VolumeSettings): VolumeHandle {
    if (settings.driver !== "" && settings.driver !== known.driver)
      throw new EngineError(
        "conflict",
        `create ${known.name}: a volume named ${known.name} already exists with the driver ${known.driver}`,
      );
    // The requested options must be valid, although they change nothing.
    this.#driverOf(known).check(known.name, settings.options);
    return this.#handle(known);
  }

  get(name: string): VolumeHandle | undefined {
    const record = this.#table.get(name);
    return record === undefined ? undefined : this.#handle(record);
  }

  placeOf(name: string): string {
    return this.#driverOf(this.#table.get(name) ?? { driver: this.#options.defaultDriver }).path(name);
  }

  volumeNames(): readonly string[] {
    return this.#table.names();
  }

  describe(name: string): VolumeInfo {
    return this.#info(this.#find(name));
  }

  list(): readonly VolumeInfo[] {
    return [...this.#table.values()].map((record) => this.#info(record));
  }

  async acquire(name: string, containerId: string): Promise<void> {
    const record = this.#find(name);
    const holders = this.#holders.get(name) ?? new Set();
    holders.add(containerId);
    this.#holders.set(name, holders);
    await this.#mutex.run(name, () => this.#driverOf(record).mount(record));
  }

  async release(name: string, containerId: string): Promise<void> {
    const holders = this.#holders.get(name);
    if (holders === undefined || !holders.delete(containerId) || holders.size > 0) return;
    this.#holders.delete(name);
    const record = this.#table.get(name);
    if (record === undefined) return;
    await this.#mutex.run(name, async () => {
      // It may have a new holder by now.
      if (!this.#holders.has(name)) await this.#unmount(record);
    });
  }

  async #unmount(record: VolumeRecord): Promise<void> {
    try {
      await this.#driverOf(record).unmount(record);
    } catch (error) {
      this.#options.logger.warn("unmounting a volume failed", { volume: record.name, error: messageOf(error) });
    }
  }

  async usage(name: string): Promise<number> {
    const record = this.#table.get(name);
    return record === undefined ? 0 : this.#driverOf(record).usage(record);
  }

  async remove(name: string): Promise<void> {
    const record = this.#find(name);
    this.#checkFree(record, undefined);
    await this.#remove(record);
  }

  async removeIfUnused(name: string, containerId: string): Promise<boolean> {
    const record = this.#table.get(name);
    if (record === undefined) return true;
    if (this.#usersBut(name, containerId).length > 0) return false;
    try {
      await this.#remove(record, containerId);
    } catch (error) {
      // Somebody has taken or removed it since the check.
      if (isEngineError(error, "conflict") && this.#usersBut(name, containerId).length > 0) return false;
      if (!isEngineError(error, "not-found")) throw error;
    }
    return true;
  }

  async prune(wanted: (volume: VolumeInfo) => boolean): Promise<PrunedVolumes> {
    const names: string[] = [];
    let reclaimed = 0;
    const inUse = this.#options.uses.volumesInUse();
    for (const record of this.#table.values()) {
      const { name } = record;
      if (inUse.has(name) || !wanted(this.#info(record)) || this.#usersBut(name, undefined).length > 0) continue;
      try {
        const bytes = await this.usage(name);
        await this.#remove(record);
        reclaimed += bytes;
        names.push(name);
      } catch (error) {
        this.#options.logger.warn("pruning a volume failed", { volume: name, error: messageOf(error) });
      }
    }
    return { names, reclaimed };
  }

  #usersBut(name: string, but: string | undefined): string[] {
    return this.#options.uses.ofVolume(name).filter((id) => id !== but);
  }

  /** The removal may have waited: by now the volume may be removed, be a new one with the same name, or belong to another container. */
  #checkFree(record: VolumeRecord, but: string | undefined): void {
    const { name } = record;
    if (this.#table.get(name)?.createdAt !== record.createdAt)
      throw new EngineError("not-found", `get ${name}: no such volume`);
    const users = this.#usersBut(name, but);
    if (users.length > 0) throw new EngineError("conflict", `remove ${name}: volume is in use - [${users.join(", ")}]`);
  }

  /** @param but A container that does not count. */
  async #remove(record: VolumeRecord, but?: string): Promise<void> {
    const removed = await this.#mutex.run(record.name, () => this.#takeAway(record, but));
    // A volume with the same name can be made meanwhile.
    await removed.free();
  }

  async #takeAway(record: VolumeRecord, but: string | undefined): Promise<RemovedVolume> {
    const { name } = record;
    this.#checkFree(record, but);
    await this.#unmount(record);
    this.#checkFree(record, but);
    this.#leaving.add(name);
    let removed: RemovedVolume;
    try {
      removed = await this.#driverOf(record).remove(record, () => this.#table.delete(name));
    } finally {
      this.#leaving.delete(name);
    }
    this.#options.onChange({ kind: "removed", name, driver: record.driver });
    return removed;
  }
}
