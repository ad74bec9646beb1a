import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, systemClock } from "@fathom/base";
import { openStore, type Store } from "@fathom/store";
import { createHostFiles, createSys } from "@fathom/sys";
import { helperExecutable } from "@fathom/sys/helper";
import { Events } from "../events.ts";
import { testConfig } from "../testing/fakes.ts";
import { createVolumes, type Volumes } from "./volumes.ts";

const sys = createSys();
let root: string;
let store: Store;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "fathom-volumes-"));
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(root, { recursive: true });
});

/** What a daemon's start makes of the directory. */
async function open(): Promise<Volumes> {
  store = await openStore({ root, sys, logger: silentLogger, syncFilesystem: async () => undefined });
  const events = new Events(systemClock);
  const uses = { ofImage: () => [], ofVolume: () => [] };
  return createVolumes({
    config: testConfig(root),
    store,
    sys,
    files: createHostFiles({ sys, executable: () => helperExecutable(sys) }),
    events,
    uses,
    logger: silentLogger,
    clock: systemClock,
  });
}

async function reopen(): Promise<Volumes> {
  await store[Symbol.asyncDispose]();
  return open();
}

const settings = { driver: "local", options: {}, labels: {} };
const names = (volumes: Volumes): Promise<string[]> =>
  volumes.volumeList({}).then(({ Volumes: list }) => (list ?? []).map(({ Name }) => Name).sort());
const list = (path: string): string[] => readdirSync(join(root, path)).sort();
const directories = (): string[] => list("volumes").filter((name) => name !== ".removing");

test("a volume whose making was interrupted goes, at whatever moment that was; what is not ours stays", async () => {
  const volumes = await open();
  volumes.ensure({ ...settings, name: "kept" });
  mkdirSync(join(root, "volumes/first-directory"));
  mkdirSync(join(root, "volumes/both-directories/_data"), { recursive: true });
  mkdirSync(join(root, "volumes/foreign/_data"), { recursive: true });
  writeFileSync(join(root, "volumes/foreign/_data/file"), "");
  expect(await names(await reopen())).toEqual(["kept"]);
  expect(directories()).toEqual(["foreign", "kept"]);
});

test("a removal that was interrupted is finished", async () => {
  const volumes = await open();
  for (const name of ["kept", "moved"]) {
    const { mountpoint } = volumes.ensure({ ...settings, name });
    writeFileSync(join(mountpoint, "file"), name);
  }
  // As `volumeRemove` leaves it when the daemon is killed after its first step.
  renameSync(join(root, "volumes/moved"), join(root, "volumes/.removing/moved"));
  const again = await reopen();
  expect(await names(again)).toEqual(["kept"]);
  for (let tries = 0; tries < 100 && list("volumes/.removing").length > 0; tries++) await Bun.sleep(10);
  expect(directories()).toEqual(["kept"]);
  // A name that is given again is another volume.
  again.ensure({ ...settings, name: "moved" });
  expect(existsSync(join(root, "volumes/moved/_data/file"))).toBe(false);
  await again.volumeRemove("moved", false);
  const long = "x".repeat(255);
  again.ensure({ ...settings, name: long });
  await again.volumeRemove(long, false);
  expect(list("volumes/.removing")).toEqual([]);
  expect(directories()).toEqual(["kept"]);
});
