import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, systemClock } from "@fathom/base";
import { openStore, type Store } from "@fathom/store";
import { createHostFiles, createSys, helperExecutable } from "@fathom/sys";
import { anonymousLabel } from "@fathom/volumes";
import { testConfig } from "../testing/fakes.ts";
import type { VolumeBackend } from "../backend.ts";
import { createVolumePart } from "./volume-backend.ts";

const sys = createSys();
let root: string;
let store: Store;
let published: string[];
let users: Record<string, string[]>;
let volumes: VolumeBackend;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "fathom-volumes-"));
  store = await openStore({ root, sys, logger: silentLogger, syncFilesystem: async () => undefined });
  published = [];
  users = {};
  volumes = createVolumePart({
    config: testConfig(root),
    store,
    sys,
    files: createHostFiles({ sys, executable: () => helperExecutable(sys) }),
    events: {
      publish: (type, action, id, attributes) =>
        void published.push(`${type} ${action} ${id} ${JSON.stringify(attributes)}`),
    },
    uses: {
      ofImage: () => [],
      ofVolume: (name: string) => users[name] ?? [],
      volumesInUse: () => new Map(Object.entries(users).map(([name, ids]) => [name, ids.length])),
    },
    logger: silentLogger,
    clock: systemClock,
  }).backend;
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(root, { recursive: true });
});

const settings = { Driver: "", DriverOpts: {}, Labels: {} };
const names = async (): Promise<string[]> => (await volumes.list({})).Volumes.map(({ Name }) => Name).sort();

test("a name filter is a pattern whose cost is limited; an invalid pattern is used as plain text", async () => {
  for (const name of ["web-data", "web.cache", `${"a".repeat(60)}_`]) await volumes.create({ ...settings, Name: name });
  const found = async (filter: string): Promise<string[]> =>
    (await volumes.list({ name: [filter] })).Volumes.map(({ Name }) => Name).sort();
  expect(await found("^web")).toEqual(["web-data", "web.cache"]);
  expect(await found("d.t[a]$")).toEqual(["web-data"]);
  expect(await found("[")).toEqual([]);
  // With backtracking, the runtime's own engine would take seconds for this, or for ever.
  expect(await found("^(a+)+$")).toEqual([]);
  // Look-behind and back references do not exist in RE2, so such patterns are used as plain text.
  expect(await found(String.raw`(a)\1`)).toEqual([]);
});

test("a volume that a container takes while a prune measures it is not pruned; when two removals run, one of them removes it", async () => {
  for (const name of ["taken", "free"]) await volumes.create({ ...settings, Name: name });
  const report = volumes.prune({ all: ["true"] });
  users["taken"] = ["c1"];
  expect((await report).VolumesDeleted).toEqual(["free"]);
  expect(await names()).toEqual(["taken"]);
  users = {};
  const removals = await Promise.allSettled([volumes.remove("taken", false), volumes.remove("taken", false)]);
  expect(removals.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  expect(await names()).toEqual([]);
});

test("a prune removes anonymous volumes, and with all=1 those whose labels match; a volume in use stays", async () => {
  for (const [Name, Labels] of [
    ["", { tier: "front" }],
    ["named", { tier: "front" }],
    ["kept", { tier: "front", keep: "" }],
    ["used", { tier: "front" }],
    ["back", { tier: "back" }],
  ] as const)
    await volumes.create({ ...settings, Name, Labels });
  users["used"] = ["c1"];
  const anonymous = (await volumes.list({ label: [anonymousLabel] })).Volumes.map(({ Name }) => Name);
  expect(anonymous).toHaveLength(1);
  const pruned = async (filters: Record<string, string[]>): Promise<readonly string[]> =>
    ((await volumes.prune(filters)).VolumesDeleted ?? []).toSorted();
  expect(await pruned({ label: ["tier=back"] })).toEqual([]);
  expect(await pruned({})).toEqual(anonymous);
  expect(await pruned({ all: ["1"], label: ["tier=front"], "label!": ["keep"] })).toEqual(["named"]);
  expect(await names()).toEqual(["back", "kept", "used"]);
  for (const all of ["perhaps", "tRUE"])
    await expect(volumes.prune({ all: [all] })).rejects.toThrow(
      `invalid filter 'all': strconv.ParseBool: parsing ${JSON.stringify(all)}: invalid syntax`,
    );
  await expect(volumes.prune({ all: ["0", "1"] })).rejects.toThrow(
    "invalid filter 'all=[0 1]': only one value is expected",
  );
});

test("events say what happened to a volume", async () => {
  await volumes.create({ ...settings, Name: "one" });
  await volumes.remove("one", false);
  await volumes.remove("one", true);
  await expect(volumes.remove("one", false)).rejects.toThrow("get one: no such volume");
  await volumes.prune({});
  expect(published).toEqual([
    'volume create one {"driver":"local"}',
    'volume destroy one {"driver":"local"}',
    'volume prune  {"reclaimed":"0"}',
  ]);
});
