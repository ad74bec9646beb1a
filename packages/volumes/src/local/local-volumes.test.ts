import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger, silentLogger, systemClock } from "@fathom/base";
import { openStore, type Store } from "@fathom/store";
import { createHostFiles, createSys, helperExecutable } from "@fathom/sys";
import type { VolumeInfo, Volumes } from "../contract.ts";
import { createVolumes } from "../volumes.ts";
import { createLocalDriver } from "./local-driver.ts";
import { until } from "@fathom/base/testing";

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

/** What a daemon's start does with the directory. */
async function open(logger = silentLogger): Promise<Volumes> {
  store = await openStore({ root, sys, logger: silentLogger, syncFilesystem: async () => undefined });
  const files = createHostFiles({ sys, executable: () => helperExecutable(sys) });
  return createVolumes({
    drivers: [createLocalDriver({ root: join(root, "volumes"), sys, files, clock: systemClock, logger })],
    defaultDriver: "local",
    database: store.database,
    uses: { ofVolume: () => [], volumesInUse: () => new Map() },
    onChange: () => undefined,
    logger,
    clock: systemClock,
  });
}

async function reopen(): Promise<Volumes> {
  await store[Symbol.asyncDispose]();
  return open();
}

const settings = { driver: "local", options: {}, labels: {} };
const names = (volumes: Volumes): string[] => volumes.volumeNames().toSorted();
const list = (path: string): string[] => readdirSync(join(root, path)).sort();
const directories = (): string[] => list("volumes").filter((name) => name !== ".removing");

test("a volume whose creation was interrupted at any moment is removed; other files stay", async () => {
  const volumes = await open();
  await volumes.ensure({ ...settings, name: "kept" });
  mkdirSync(join(root, "volumes/first-directory"));
  mkdirSync(join(root, "volumes/both-directories/_data"), { recursive: true });
  mkdirSync(join(root, "volumes/foreign/_data"), { recursive: true });
  writeFileSync(join(root, "volumes/foreign/_data/file"), "");
  expect(names(await reopen())).toEqual(["kept"]);
  expect(directories()).toEqual(["foreign", "kept"]);
});

test("an interrupted removal is finished", async () => {
  const volumes = await open();
  for (const name of ["kept", "moved"]) {
    const { mountpoint } = await volumes.ensure({ ...settings, name });
    writeFileSync(join(mountpoint, "file"), name);
  }
  // The state when the daemon is killed after the first step of `remove`.
  renameSync(join(root, "volumes/moved"), join(root, "volumes/.removing/moved"));
  const again = await reopen();
  expect(names(again)).toEqual(["kept"]);
  await until("what was removed is freed", () => list("volumes/.removing").length === 0);
  expect(directories()).toEqual(["kept"]);
  // A name that is used again is another volume.
  await again.ensure({ ...settings, name: "moved" });
  expect(existsSync(join(root, "volumes/moved/_data/file"))).toBe(false);
  await again.remove("moved");
  const long = "x".repeat(255);
  await again.ensure({ ...settings, name: long });
  await again.remove(long);
  expect(list("volumes/.removing")).toEqual([]);
  expect(directories()).toEqual(["kept"]);
});

/** The daemon's next start with an empty database. */
async function openAnew(logger = silentLogger): Promise<Volumes> {
  await store[Symbol.asyncDispose]();
  for (const name of ["fathom.db", "fathom.db-wal"]) rmSync(join(root, name));
  return open(logger);
}

const descriptionOf = (name: string): string => join(root, "volumes", name, "opts.json");
const described = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(descriptionOf(name), "utf8")) as Record<string, unknown>;

test("volumes that the database does not have (an older or a new one) come back with options, labels and content", async () => {
  const volumes = await open();
  const options = { type: "none", o: "bind", device: "/somewhere/far" };
  await volumes.ensure({ ...settings, name: "far", options, labels: { kind: "far" } });
  writeFileSync(join((await volumes.ensure({ ...settings, name: "near" })).mountpoint, "file"), "");
  const anonymous = (await volumes.ensure({ ...settings, name: "", labels: { "com.docker.volume.anonymous": "" } }))
    .name;
  // From a daemon that wrote no descriptions.
  await volumes.ensure({ ...settings, name: "early" });
  rmSync(descriptionOf("early"));
  await volumes.ensure({ ...settings, name: "removed" });
  await volumes.remove("removed");
  expect(described("far")).toMatchObject({
    MountType: "none",
    MountOpts: "bind",
    MountDevice: "/somewhere/far",
    Quota: { Size: 0 },
  });
  expect(statSync(descriptionOf("far")).mode & 0o777).toBe(0o600);
  const before = (await reopen()).list();
  const again = await openAnew();
  const sorted = (found: readonly VolumeInfo[]): object[] => found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  expect(sorted(again.list())).toEqual(sorted(before));
  expect(again.get(anonymous)?.anonymous).toBe(true);
  expect(existsSync(join(root, "volumes/near/_data/file"))).toBe(true);
  expect(names(await reopen())).toEqual([anonymous, "early", "far", "near"].sort());
  for (const name of ["far", "near", "early"]) expect(list(`volumes/${name}`)).toEqual(["_data", "opts.json"]);
});

test("a database from an older backup: the data beside it counts, and a volume without its directory is empty", async () => {
  const volumes = await open();
  for (const name of ["again", "gone"])
    await volumes.ensure({ ...settings, name, options: { type: "tmpfs", device: "old" }, labels: { old: "" } });
  await store[Symbol.asyncDispose]();
  const files = ["fathom.db", "fathom.db-wal"];
  const backup = mkdtempSync(join(tmpdir(), "fathom-volumes-backup-"));
  for (const name of files) copyFileSync(join(root, name), join(backup, name));
  const later = await open();
  for (const name of ["again", "gone"]) await later.remove(name);
  await later.ensure({ ...settings, name: "again", labels: { new: "" } });
  await store[Symbol.asyncDispose]();
  for (const name of files) copyFileSync(join(backup, name), join(root, name));
  rmSync(backup, { recursive: true });
  const last = await open();
  expect(last.describe("again")).toMatchObject({ options: null, labels: { new: "" } });
  expect(last.describe("gone")).toMatchObject({ labels: { old: "" } });
  expect(list("volumes/gone/_data")).toEqual([]);
  expect((await reopen()).describe("again")).toMatchObject({ labels: { new: "" } });
});

const other = '{"Name":"near","CreatedAt":"2026-01-01T00:00:00Z","Labels":null}';
const own = (changes: object): string =>
  JSON.stringify({ Name: "bad", CreatedAt: "2026-01-01T00:00:00Z", Labels: null, ...changes });

test.each<[string, (path: string) => void]>([
  ["cut short", (path) => writeFileSync(path, "{")],
  ["empty", (path) => writeFileSync(path, "")],
  ["no text", (path) => writeFileSync(path, new Uint8Array(100).fill(0xff))],
  ["a list", (path) => writeFileSync(path, "[1]")],
  ["another's", (path) => writeFileSync(path, other)],
  ["of labels that are none", (path) => writeFileSync(path, own({ Labels: { a: 1 } }))],
  ["of no time", (path) => writeFileSync(path, own({ CreatedAt: "yesterday" }))],
  ["of an option that is no text", (path) => writeFileSync(path, own({ MountOpts: ["bind"] }))],
  ["of options that make no sense", (path) => writeFileSync(path, own({ MountOpts: "bind" }))],
  ["with a quota", (path) => writeFileSync(path, own({ Quota: { Size: 5 } }))],
  ["too large", (path) => truncateSync((writeFileSync(path, other), path), 20 * 1024 * 1024)],
  ["a symlink to a good one", (path) => symlinkSync((writeFileSync(`${path}.0`, own({})), `${path}.0`), path)],
  ["a directory", (path) => mkdirSync(path)],
  ["a pipe", (path) => void Bun.spawnSync(["mkfifo", path])],
])(
  "a description that is %s gives no volume and a warning, and is written again for a known volume",
  async (_, spoil) => {
    const volumes = await open();
    const options = { type: "tmpfs", device: "x" };
    for (const name of ["near", "bad"]) {
      await volumes.ensure({ ...settings, name, options });
      writeFileSync(join(root, "volumes", name, "_data/file"), name);
    }
    rmSync(descriptionOf("bad"));
    spoil(descriptionOf("bad"));
    const said: string[] = [];
    const again = await openAnew(createLogger("error", { write: (line) => void said.push(line) }));
    expect(names(again)).toEqual(["near"]);
    expect(said.filter((line) => line.includes("has an opts.json that cannot be used"))).toHaveLength(1);
    expect(list("volumes/bad/_data")).toEqual(["file"]);
    // The remedy that the log names.
    if (!statSync(descriptionOf("bad")).isDirectory()) {
      await again.ensure({ ...settings, name: "bad" });
      expect(list("volumes/bad/_data")).toEqual(["file"]);
      expect(described("bad")).toMatchObject({ Name: "bad", MountType: "" });
      rmSync(descriptionOf("bad"));
      spoil(descriptionOf("bad"));
      expect(names(await reopen())).toEqual(["bad", "near"]);
      expect(described("bad")).toMatchObject({ Name: "bad", MountType: "" });
    }
  },
);

test("a folder that Docker left is a volume with its options", async () => {
  await open();
  mkdirSync(join(root, "volumes/moved/_data"), { recursive: true });
  const docker = { MountType: "nfs", MountOpts: "addr=10.0.0.1,rw", MountDevice: ":/share", Quota: { Size: 0 } };
  writeFileSync(descriptionOf("moved"), JSON.stringify(docker));
  const options = { type: "nfs", o: "addr=10.0.0.1,rw", device: ":/share" };
  expect((await reopen()).describe("moved")).toMatchObject({ options, labels: null });
  expect(described("moved")).toMatchObject({ ...docker, Name: "moved" });
});

test("a volume whose description or row cannot be written is not made, and leaves nothing", async () => {
  const volumes = await open();
  // The row is rejected.
  store.database.run("CREATE TRIGGER refuse BEFORE INSERT ON volumes BEGIN SELECT RAISE(FAIL, 'no'); END");
  await expect(volumes.ensure({ ...settings, name: "new" })).rejects.toThrow("create new: ");
  mkdirSync(join(root, "volumes/found/_data"), { recursive: true });
  writeFileSync(join(root, "volumes/found/_data/file"), "");
  await expect(volumes.ensure({ ...settings, name: "found" })).rejects.toThrow("create found: ");
  store.database.run("DROP TRIGGER refuse");
  // Something else has the description's name.
  mkdirSync(join(root, "volumes/taken/.opts.json.new"), { recursive: true });
  await expect(volumes.ensure({ ...settings, name: "taken" })).rejects.toThrow("create taken: ");
  expect(directories()).toEqual(["found", "taken"]);
  expect(list("volumes/found")).toEqual(["_data"]);
  expect(list("volumes/taken")).toEqual([".opts.json.new"]);
  expect(names(volumes)).toEqual([]);
  await volumes.ensure({ ...settings, name: "new" });
  expect(names(await reopen())).toEqual(["new"]);
});

test("a crash between the description's two steps: without a row it is removed, with one it is finished", async () => {
  const volumes = await open();
  await volumes.ensure({ ...settings, name: "row", labels: { a: "b" } });
  renameSync(descriptionOf("row"), join(root, "volumes/row/.opts.json.new"));
  mkdirSync(join(root, "volumes/none/_data"), { recursive: true });
  writeFileSync(join(root, "volumes/none/.opts.json.new"), own({ Name: "none" }));
  expect(names(await reopen())).toEqual(["row"]);
  expect(directories()).toEqual(["row"]);
  expect(list("volumes/row")).toEqual(["_data", "opts.json"]);
  expect((await openAnew()).describe("row")).toMatchObject({ labels: { a: "b" } });
});
