/** What every `VolumeDriver` must do, as tests: each implementation and each fake runs them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Faults } from "@fathom/base/testing";
import type { VolumeDriver, VolumeRecord, VolumeRecords } from "../contract.ts";
import { failureOf, until } from "@fathom/base/testing";

/** A place with volumes that survives its drivers. */
export interface DriverPlace extends AsyncDisposable {
  readonly faults: Faults;
  /** Names of the calls for `mount`, `unmount` and the freeing of a removed volume, for `faults`. */
  readonly calls: { readonly mount: string; readonly unmount: string; readonly free: string };
  /** Options of a volume that is mounted, and options that no volume can have. */
  readonly options: Readonly<Record<"mounted" | "impossible", Readonly<Record<string, string>>>>;
  /** A driver as a daemon's start makes it, before `recover`. */
  open(): VolumeDriver;
  /** Writes this many bytes into a volume's data. */
  write(name: string, bytes: number): void;
  /** Bytes in a volume's data; 0 when there is none. */
  bytes(name: string): number;
  isMounted(name: string): boolean;
  /** Removed volumes whose bytes are not freed yet. */
  unfreed(): number;
}

/** The rows that a driver sees, in memory. */
export class MemoryRecords implements VolumeRecords {
  readonly rows = new Map<string, VolumeRecord>();

  constructor(rows: Iterable<VolumeRecord> = []) {
    for (const row of rows) this.rows.set(row.name, row);
  }
  get(name: string): VolumeRecord | undefined {
    return this.rows.get(name);
  }
  list(): readonly VolumeRecord[] {
    return [...this.rows.values()];
  }
  put(record: VolumeRecord): void {
    this.rows.set(record.name, record);
  }
  delete(name: string): void {
    this.rows.delete(name);
  }
}

export function volumeDriverSuite(name: string, makePlace: () => Promise<DriverPlace>): void {
  let place: DriverPlace;
  let driver: VolumeDriver;
  let records: MemoryRecords;

  /** The daemon's next start. */
  function reopen(rows: Iterable<VolumeRecord> = records.list()): void {
    records = new MemoryRecords(rows);
    driver = place.open();
    driver.recover(records);
  }
  function record(volume: string, more: Partial<VolumeRecord> = {}): VolumeRecord {
    const createdAt = "2026-01-01T00:00:00.123456789Z";
    return { name: volume, driver: driver.name, createdAt, labels: null, options: null, ...more };
  }
  async function create(volume: VolumeRecord): Promise<VolumeRecord> {
    await driver.create(volume, () => records.put(volume));
    return volume;
  }
  const mounted = (volume = "mounted"): VolumeRecord => record(volume, { options: place.options.mounted });

  describe(`${name} as a driver of volumes`, () => {
    beforeEach(async () => {
      place = await makePlace();
      records = new MemoryRecords();
      reopen();
    });
    afterEach(() => place[Symbol.asyncDispose]());

    test("invalid names and options are rejected", () => {
      driver.check("good", {});
      driver.check("good", place.options.mounted);
      expect(() => driver.check("good", place.options.impossible)).toThrow("invalid option");
      expect(() => driver.check("bad/name", {})).toThrow("bad/name");
    });

    test("a volume is made with its row, which is written once", async () => {
      const volume = record("one", { labels: { a: "b" } });
      let written = 0;
      await driver.create(volume, () => void written++);
      expect(written).toBe(1);
      expect(driver.path("one")).toContain("one");
      place.write("one", 7);
      expect(place.bytes("one")).toBe(7);
      expect(await driver.usage(volume)).toBe(7);
    });

    test("when the row cannot be written nothing is made", async () => {
      const refused = new Error("no row");
      const volume = record("one");
      expect(
        await failureOf(
          driver.create(volume, () => {
            throw refused;
          }),
        ),
      ).toBe(refused);
      reopen();
      expect(records.list()).toEqual([]);
      await create(volume);
      expect(place.bytes("one")).toBe(0);
    });

    test("volumes without a row come back unchanged; those with a row stay", async () => {
      const volumes = [await create(record("one", { labels: { a: "b" } })), await create(mounted())];
      place.write("one", 7);
      reopen([]);
      expect(records.list().toSorted((a, b) => (a.name < b.name ? 1 : -1))).toEqual(volumes);
      reopen();
      expect(records.list()).toHaveLength(2);
      expect(place.bytes("one")).toBe(7);
    });

    test("a volume that has only a row exists, and is empty", async () => {
      const volume = record("one");
      reopen([volume]);
      expect(records.list()).toEqual([volume]);
      expect(await driver.usage(volume)).toBe(0);
      place.write("one", 7);
      expect(place.bytes("one")).toBe(7);
    });

    test("a volume is mounted once for all holders, also for those of the next daemon, and unmounted once", async () => {
      const volume = await create(mounted());
      expect(place.isMounted("mounted")).toBe(false);
      await driver.mount(volume);
      await driver.mount(volume);
      expect(place.isMounted("mounted")).toBe(true);
      reopen();
      await driver.mount(volume);
      expect(place.isMounted("mounted")).toBe(true);
      await driver.unmount(volume);
      expect(place.isMounted("mounted")).toBe(false);
      await driver.unmount(volume);
    });

    test("a volume without options is no mount", async () => {
      const volume = await create(record("one"));
      await driver.mount(volume);
      expect(place.isMounted("one")).toBe(false);
      await driver.unmount(volume);
    });

    test("a mount that fails leaves none, and can be tried again", async () => {
      const volume = await create(mounted());
      place.faults.failNext(place.calls.mount);
      expect(await failureOf(driver.mount(volume))).toBeInstanceOf(Error);
      expect(place.faults.done).toBe(true);
      expect(place.isMounted("mounted")).toBe(false);
      await driver.unmount(volume);
      await driver.mount(volume);
      expect(place.isMounted("mounted")).toBe(true);
    });

    test("a mount that hangs blocks no other volume", async () => {
      const [slow, other] = [await create(mounted("slow")), await create(mounted("other"))];
      const hang = place.faults.hangNext(place.calls.mount);
      const mounting = driver.mount(slow);
      await hang.reached;
      await driver.mount(other);
      await create(record("third"));
      expect([place.isMounted("slow"), place.isMounted("other")]).toEqual([false, true]);
      hang.goOn();
      await mounting;
      expect(place.isMounted("slow")).toBe(true);
    });

    test("a mounted file system does not count on this disk", async () => {
      const volume = await create(mounted());
      place.write("mounted", 7);
      expect(await driver.usage(volume)).toBe(0);
    });

    test("a removed volume is gone, at the next start too; a new one with its name is another one", async () => {
      const volume = await create(record("one"));
      place.write("one", 7);
      let forgotten = 0;
      const removed = await driver.remove(volume, () => {
        forgotten++;
        records.delete("one");
      });
      expect(forgotten).toBe(1);
      expect([place.bytes("one"), place.unfreed()]).toEqual([0, 1]);
      const next = await create(record("one", { createdAt: "2026-02-02T00:00:00Z" }));
      place.write("one", 9);
      const second = await driver.remove(next, () => records.delete("one"));
      const last = await create(record("one", { createdAt: "2026-03-03T00:00:00Z" }));
      await removed.free();
      await second.free();
      expect([place.bytes("one"), place.unfreed()]).toEqual([0, 0]);
      reopen([]);
      expect(records.list()).toEqual([last]);
    });

    test("when the row cannot be deleted the volume stays, with its data", async () => {
      const volume = await create(record("one"));
      place.write("one", 7);
      const refused = new Error("the row stays");
      expect(
        await failureOf(
          driver.remove(volume, () => {
            throw refused;
          }),
        ),
      ).toBe(refused);
      expect(await driver.usage(volume)).toBe(7);
      reopen();
      expect(records.list()).toEqual([volume]);
      expect(place.bytes("one")).toBe(7);
    });

    test("a volume that is still mounted is not removed", async () => {
      const volume = await create(mounted());
      await driver.mount(volume);
      place.faults.failNext(place.calls.unmount);
      await failureOf(driver.unmount(volume));
      const forget = (): never => {
        throw new Error("the row of a mounted volume was deleted");
      };
      expect(await failureOf(driver.remove(volume, forget))).toMatchObject({ code: "conflict" });
      expect(place.isMounted("mounted")).toBe(true);
      await driver.unmount(volume);
      await driver.remove(volume, () => records.delete("mounted"));
      expect(records.list()).toEqual([]);
    });

    test("bytes that could not be freed are freed after the next start", async () => {
      const volume = await create(record("one"));
      place.write("one", 7);
      const removed = await driver.remove(volume, () => records.delete("one"));
      place.faults.failNext(place.calls.free);
      expect(await failureOf(removed.free())).toBeInstanceOf(Error);
      expect(place.unfreed()).toBe(1);
      reopen();
      await until("the rest is freed", () => place.unfreed() === 0);
      expect(records.list()).toEqual([]);
    });
  });
}
