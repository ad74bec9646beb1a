import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { EngineError, silentLogger, systemClock } from "@fathom/base";
import { Faults } from "@fathom/base/testing";
import { createHostFiles, createSys, SysError, helperExecutable } from "@fathom/sys";
import type { VolumeDriver, VolumeRecord } from "../contract.ts";
import { withFakeMounts, type FakeMount } from "../testing/fake-mounts.ts";
import { MemoryRecords, volumeDriverSuite, type DriverPlace } from "../testing/volume-driver-suite.ts";
import { createLocalDriver } from "./local-driver.ts";

const sys = createSys();
const hostFiles = createHostFiles({ sys, executable: () => helperExecutable(sys) });

/** A temporary directory, with mounts in memory. */
function openPlace(): DriverPlace & { readonly mounts: Map<string, FakeMount>; readonly root: string } {
  const root = mkdtempSync(join(tmpdir(), "fathom-local-driver-"));
  const mounts = new Map<string, FakeMount>();
  const faults = new Faults();
  const files = withFakeMounts(hostFiles, mounts, faults);
  const data = (name: string): string => join(root, name, "_data");
  return {
    root,
    mounts,
    faults,
    calls: { mount: "files.mount", unmount: "files.unmount", free: "files.remove" },
    options: { mounted: { type: "tmpfs", device: "tmpfs" }, impossible: { bogus: "1" } },
    open: () => createLocalDriver({ root, sys, files, clock: systemClock, logger: silentLogger }),
    write: (name, bytes) => writeFileSync(join(data(name), "file"), new Uint8Array(bytes)),
    bytes: (name) => (existsSync(join(data(name), "file")) ? readFileSync(join(data(name), "file")).byteLength : 0),
    isMounted: (name) => mounts.has(data(name)),
    unfreed: () => readdirSync(join(root, ".removing")).length,
    [Symbol.asyncDispose]: async () => rmSync(root, { recursive: true }),
  };
}

volumeDriverSuite("the local driver", async () => openPlace());

async function made(driver: VolumeDriver, options: Record<string, string>): Promise<VolumeRecord> {
  const volume = { name: "data", driver: "local", createdAt: "2026-01-01T00:00:00Z", labels: null, options };
  await driver.create(volume, () => undefined);
  return volume;
}

test("a bind gets its flags by a remount; when that fails the volume is not in use", async () => {
  await using place = openPlace();
  const driver = place.open();
  const volume = await made(driver, { type: "none", device: "/srv", o: "bind,ro" });
  await driver.mount(volume);
  await driver.mount(volume);
  expect(place.faults.calls.filter(({ name }) => name === "files.mount")).toHaveLength(2);
  expect([...place.mounts]).toEqual([[driver.path("data"), { source: "", type: "", flags: 4096 | 32 | 1, data: "" }]]);
  await driver.unmount(volume);
  const first = place.faults.hangNext("files.mount");
  const mounting = driver.mount(volume);
  await first.reached;
  place.faults.failNext("files.mount");
  first.goOn();
  await expect(mounting).rejects.toThrow("failed to mount local volume");
  expect([place.faults.done, place.mounts.size]).toEqual([true, 0]);
});

test.each([
  ["invalid-argument", new SysError("mount", constants.errno.ENOENT), "no such file or directory"],
  ["internal", new SysError("mount", constants.errno.EIO), "input/output error"],
  ["internal", new SysError("mount", constants.errno.EIO, "/a: b"), "input/output error"],
  ["timeout", new EngineError("timeout", "/srv does not answer"), "/srv does not answer"],
] as const)("a mount that fails is %s and has Docker's words", async (code, error, reason) => {
  await using place = openPlace();
  const driver = place.open();
  const volume = await made(driver, { type: "nfs", device: ":/srv", o: "ro" });
  place.faults.failNext("files.mount", error);
  const failure: unknown = await driver.mount(volume).catch((thrown: unknown) => thrown);
  expect(failure).toMatchObject({
    code,
    message: `error while mounting volume '${driver.path("data")}': failed to mount local volume: mount :/srv:${driver.path("data")}, flags: 0x1: ${reason}`,
  });
});

test("everybody may pass through the directories, only root may read the files of the description", async () => {
  await using place = openPlace();
  await made(place.open(), { type: "tmpfs", device: "tmpfs" });
  const mode = (...path: string[]): string => (statSync(join(place.root, ...path)).mode & 0o777).toString(8);
  expect([mode("data"), mode("data", "_data"), mode("data", "opts.json"), mode(".removing")]).toEqual([
    "755",
    "755",
    "600",
    "700",
  ]);
});

test("a directory with the name of another driver's volume is not changed", async () => {
  await using place = openPlace();
  await made(place.open(), {});
  writeFileSync(join(place.root, "data/opts.json"), "{");
  const there = { name: "data", driver: "plugin", createdAt: "2026-01-01T00:00:00Z", labels: null, options: null };
  const records = new MemoryRecords([there]);
  place.open().recover({
    get: (name) => records.get(name),
    list: () => [],
    put: (row) => records.put(row),
    delete: (name) => records.delete(name),
  });
  expect([...records.rows.values()]).toEqual([there]);
  expect(readFileSync(join(place.root, "data/opts.json"), "utf8")).toBe("{");
});
