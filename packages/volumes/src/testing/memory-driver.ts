/** For tests: a driver with volumes in memory. Its calls can fail and hang: those of "driver", for example "driver.mount", and "removed.free". */
import { EngineError } from "@fathom/base";
import type { Faults } from "@fathom/base/testing";
import type { RemovedVolume, VolumeDriver, VolumeRecord } from "../contract.ts";

interface MemoryVolume {
  record: VolumeRecord;
  mounted: boolean;
  bytes: number;
}

/** What survives a daemon. */
export class MemoryVolumes {
  readonly volumes = new Map<string, MemoryVolume>();
  /** Removed, but not freed yet. */
  unfreed = 0;

  driver(faults: Faults, name = "memory"): VolumeDriver {
    const driver: VolumeDriver = {
      name,
      scope: "local",
      check: (volume, options) => {
        if (volume.includes("/")) throw new EngineError("invalid-argument", `${volume} is no name of a volume`);
        for (const key of Object.keys(options))
          if (!["type", "device", "o"].includes(key))
            throw new EngineError("invalid-argument", `invalid option: ${JSON.stringify(key)}`);
      },
      recover: (records) => {
        this.unfreed = 0;
        for (const { record } of this.volumes.values())
          if (records.get(record.name)?.createdAt !== record.createdAt) records.put(record);
        for (const record of records.list())
          if (!this.volumes.has(record.name)) this.volumes.set(record.name, { record, mounted: false, bytes: 0 });
      },
      create: async (record, commit) => {
        const before = this.volumes.get(record.name);
        commit();
        this.volumes.set(record.name, { mounted: false, bytes: before?.bytes ?? 0, record });
      },
      path: (volume) => `/memory/${volume}`,
      mount: async ({ name: volume, options }) => {
        this.#find(volume).mounted = options !== null;
      },
      unmount: async ({ name: volume }) => {
        const known = this.volumes.get(volume);
        if (known !== undefined) known.mounted = false;
      },
      usage: async ({ name: volume, options }) => (options === null ? this.#find(volume).bytes : 0),
      remove: async ({ name: volume }, forget) => {
        if (this.volumes.get(volume)?.mounted === true)
          throw new EngineError("conflict", `remove ${volume}: volume is still mounted`);
        forget();
        this.volumes.delete(volume);
        this.unfreed++;
        const removed: RemovedVolume = { free: async () => void this.unfreed-- };
        return faults.wrap("removed", removed);
      },
    };
    return faults.wrap("driver", driver);
  }

  #find(name: string): MemoryVolume {
    const volume = this.volumes.get(name);
    if (volume === undefined) throw new EngineError("not-found", `the volume ${name} is not in memory`);
    return volume;
  }
}
