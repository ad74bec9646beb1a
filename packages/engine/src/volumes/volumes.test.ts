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
let users: Record<string, string[]> = {};
async function open(logger = silentLogger): Promise<Volumes> {
  store = await openStore({ root, sys, logger: silentLogger, syncFilesystem: async () => undefined });
  const events = new Events(systemClock);
  users = {};
  const uses = {
    ofImage: () => [],
    ofVolume: (name: string) => users[name] ?? [],
    volumesInUse: () => new Map(Object.entries(users).map(([name, ids]) => [name, ids.length])),
  };
  return createVolumes({
    config: testConfig(root),
    store,
    sys,
    files: createHostFiles({ sys, executable: () => helperExecutable(sys) }),
    events,
    uses,
    logger,
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

/** As the daemon's next start over a database that knows nothing. */
async function openAnew(logger = silentLogger): Promise<Volumes> {
  await store[Symbol.asyncDispose]();
  for (const name of ["fathom.db", "fathom.db-wal"]) rmSync(join(root, name));
  return open(logger);
}

const descriptionOf = (name: string): string => join(root, "volumes", name, "opts.json");
const described = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(descriptionOf(name), "utf8")) as Record<string, unknown>;

test("volumes that the database does not know, an older or a new one, are what they were: options, labels, content", async () => {
  const volumes = await open();
  const options = { type: "none", o: "bind", device: "/somewhere/far" };
  volumes.ensure({ ...settings, name: "far", options, labels: { kind: "far" } });
  writeFileSync(join(volumes.ensure({ ...settings, name: "near" }).mountpoint, "file"), "");
  const anonymous = volumes.ensure({ ...settings, name: "", labels: { "com.docker.volume.anonymous": "" } }).name;
  // From a daemon that described none.
  volumes.ensure({ ...settings, name: "early" });
  rmSync(descriptionOf("early"));
  volumes.ensure({ ...settings, name: "removed" });
  await volumes.volumeRemove("removed", false);
  expect(described("far")).toMatchObject({
    MountType: "none",
    MountOpts: "bind",
    MountDevice: "/somewhere/far",
    Quota: { Size: 0 },
  });
  expect(statSync(descriptionOf("far")).mode & 0o777).toBe(0o600);
  const before = await (await reopen()).volumeList({});
  const again = await openAnew();
  const sorted = (list: typeof before): object[] => (list.Volumes ?? []).toSorted((a, b) => (a.Name < b.Name ? -1 : 1));
  expect(sorted(await again.volumeList({}))).toEqual(sorted(before));
  expect(again.get(anonymous)?.anonymous).toBe(true);
  expect(existsSync(join(root, "volumes/near/_data/file"))).toBe(true);
  expect(await names(await reopen())).toEqual([anonymous, "early", "far", "near"].sort());
  for (const name of ["far", "near", "early"]) expect(list(`volumes/${name}`)).toEqual(["_data", "opts.json"]);
});

test("a database from an older backup: what lies beside the data counts, and one whose directory is gone is empty", async () => {
  const volumes = await open();
  for (const name of ["again", "gone"])
    volumes.ensure({ ...settings, name, options: { type: "tmpfs", device: "old" }, labels: { old: "" } });
  await store[Symbol.asyncDispose]();
  const files = ["fathom.db", "fathom.db-wal"];
  const backup = mkdtempSync(join(tmpdir(), "fathom-volumes-backup-"));
  for (const name of files) copyFileSync(join(root, name), join(backup, name));
  const later = await open();
  for (const name of ["again", "gone"]) await later.volumeRemove(name, false);
  later.ensure({ ...settings, name: "again", labels: { new: "" } });
  await store[Symbol.asyncDispose]();
  for (const name of files) copyFileSync(join(backup, name), join(root, name));
  rmSync(backup, { recursive: true });
  const last = await open();
  expect(await last.volumeInspect("again")).toMatchObject({ Options: null, Labels: { new: "" } });
  expect(await last.volumeInspect("gone")).toMatchObject({ Labels: { old: "" } });
  expect(list("volumes/gone/_data")).toEqual([]);
  expect(await (await reopen()).volumeInspect("again")).toMatchObject({ Labels: { new: "" } });
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
  "a description that is %s gives no volume, says so, and is written anew for a volume that is known",
  async (_, spoil) => {
    const volumes = await open();
    const options = { type: "tmpfs", device: "x" };
    for (const name of ["near", "bad"]) {
      volumes.ensure({ ...settings, name, options });
      writeFileSync(join(root, "volumes", name, "_data/file"), name);
    }
    rmSync(descriptionOf("bad"));
    spoil(descriptionOf("bad"));
    const said: string[] = [];
    const again = await openAnew(createLogger("error", { write: (line) => void said.push(line) }));
    expect(await names(again)).toEqual(["near"]);
    expect(said.filter((line) => line.includes("has an opts.json that cannot be used"))).toHaveLength(1);
    expect(list("volumes/bad/_data")).toEqual(["file"]);
    // The way out that the log names.
    if (!statSync(descriptionOf("bad")).isDirectory()) {
      again.ensure({ ...settings, name: "bad" });
      expect(list("volumes/bad/_data")).toEqual(["file"]);
      expect(described("bad")).toMatchObject({ Name: "bad", MountType: "" });
      rmSync(descriptionOf("bad"));
      spoil(descriptionOf("bad"));
      expect(await names(await reopen())).toEqual(["bad", "near"]);
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
  expect(await (await reopen()).volumeInspect("moved")).toMatchObject({ Options: options, Labels: null });
  expect(described("moved")).toMatchObject({ ...docker, Name: "moved" });
});

test("a volume that cannot be described or written is not made, and leaves nothing of itself", async () => {
  const volumes = await open();
  // The row is refused.
  store.database.run("CREATE TRIGGER refuse BEFORE INSERT ON volumes BEGIN SELECT RAISE(FAIL, 'no'); END");
  expect(() => volumes.ensure({ ...settings, name: "new" })).toThrow("create new: ");
  mkdirSync(join(root, "volumes/found/_data"), { recursive: true });
  writeFileSync(join(root, "volumes/found/_data/file"), "");
  expect(() => volumes.ensure({ ...settings, name: "found" })).toThrow("create found: ");
  store.database.run("DROP TRIGGER refuse");
  // The description's place is taken.
  mkdirSync(join(root, "volumes/taken/.opts.json.new"), { recursive: true });
  expect(() => volumes.ensure({ ...settings, name: "taken" })).toThrow("create taken: ");
  expect(directories()).toEqual(["found", "taken"]);
  expect(list("volumes/found")).toEqual(["_data"]);
  expect(list("volumes/taken")).toEqual([".opts.json.new"]);
  expect(await names(volumes)).toEqual([]);
  volumes.ensure({ ...settings, name: "new" });
  expect(await names(await reopen())).toEqual(["new"]);
});

test("a crash between the description's two steps: without a row it goes, with one it is finished", async () => {
  const volumes = await open();
  volumes.ensure({ ...settings, name: "row", labels: { a: "b" } });
  renameSync(descriptionOf("row"), join(root, "volumes/row/.opts.json.new"));
  mkdirSync(join(root, "volumes/none/_data"), { recursive: true });
  writeFileSync(join(root, "volumes/none/.opts.json.new"), own({ Name: "none" }));
  expect(await names(await reopen())).toEqual(["row"]);
  expect(directories()).toEqual(["row"]);
  expect(list("volumes/row")).toEqual(["_data", "opts.json"]);
  expect(await (await openAnew()).volumeInspect("row")).toMatchObject({ Labels: { a: "b" } });
});

test("a name filter is a pattern whose cost is bounded; what is none is looked for as text", async () => {
  const volumes = await open();
  for (const name of ["web-data", "web.cache", `${"a".repeat(60)}_`]) volumes.ensure({ name, ...settings });
  const found = async (filter: string): Promise<string[]> =>
    (await volumes.volumeList({ name: [filter] })).Volumes.map(({ Name }) => Name).sort();
  expect(await found("^web")).toEqual(["web-data", "web.cache"]);
  expect(await found("d.t[a]$")).toEqual(["web-data"]);
  expect(await found("[")).toEqual([]);
  // The runtime's own engine would go back and forth over this for seconds, or for ever.
  expect(await found("^(a+)+$")).toEqual([]);
  // Look-behind and references to what was found are not of this language: they are looked for as text.
  expect(await found(String.raw`(a)\1`)).toEqual([]);
});

test("a volume that a container takes while a prune measures it is not pruned; of two removals one removes it", async () => {
  const volumes = await open();
  for (const name of ["taken", "free"]) volumes.ensure({ name, ...settings });
  const report = volumes.volumePrune({ all: ["true"] });
  users["taken"] = ["c1"];
  expect((await report).VolumesDeleted).toEqual(["free"]);
  expect(await names(volumes)).toEqual(["taken"]);
  users = {};
  const removals = await Promise.allSettled([
    volumes.volumeRemove("taken", false),
    volumes.volumeRemove("taken", false),
  ]);
  expect(removals.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  expect(await names(volumes)).toEqual([]);
});
