/** The volumes with drivers in memory; each call of a driver fails and hangs. With the local driver: local/local-volumes.test.ts. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { createLogger, systemClock } from "@fathom/base";
import { Faults } from "@fathom/base/testing";
import { openDatabase, type Database } from "@fathom/store";
import type { VolumeSettings, Volumes } from "./contract.ts";
import { MemoryVolumes } from "./testing/memory-driver.ts";
import { createVolumes } from "./volumes.ts";

let database: Database;
let memory: MemoryVolumes;
let plugin: MemoryVolumes;
let faults: Faults;
let users: Record<string, string[]>;
let changes: string[];
let logged: string[];
let volumes: Volumes;

/** A daemon's start. */
function open(): Volumes {
  return createVolumes({
    drivers: [memory.driver(faults), plugin.driver(new Faults(), "plugin")],
    defaultDriver: "memory",
    database,
    uses: {
      ofVolume: (name) => users[name] ?? [],
      volumesInUse: () => new Map(Object.entries(users).map(([name, ids]) => [name, ids.length])),
    },
    onChange: ({ kind, name, driver }) => void changes.push(`${kind} ${name} ${driver}`),
    clock: systemClock,
    logger: createLogger("warn", { write: (line) => void logged.push(line) }),
  });
}

beforeEach(() => {
  database = openDatabase(":memory:");
  [memory, plugin, faults] = [new MemoryVolumes(), new MemoryVolumes(), new Faults()];
  [users, changes, logged] = [{}, [], []];
  volumes = open();
});
afterEach(() => database.close());

const settings = (name: string, more: Partial<VolumeSettings> = {}): VolumeSettings => ({
  name,
  driver: "",
  options: {},
  labels: {},
  ...more,
});
const mounted = { options: { type: "tmpfs", device: "tmpfs" } };
const isMounted = (name: string): boolean => memory.volumes.get(name)?.mounted === true;

test("a volume is made once, for any number of requests, and has its driver's path", async () => {
  const hang = faults.hangNext("driver.create");
  const both = [volumes.ensure(settings("data")), volumes.ensure(settings("data"))];
  await hang.reached;
  expect(volumes.get("data")).toBeUndefined();
  // Another volume does not wait.
  await volumes.ensure(settings("other"));
  hang.goOn();
  expect((await Promise.all(both)).map(({ mountpoint }) => mountpoint)).toEqual(["/memory/data", "/memory/data"]);
  expect(changes).toEqual(["created other memory", "created data memory"]);
  expect((await volumes.ensure(settings(""))).name).toMatch(/^[0-9a-f]{64}$/);
});

test("a volume that cannot be made leaves no row and can be made later", async () => {
  faults.failNext("driver.create", new Error("no space"));
  await expect(volumes.ensure(settings("data"))).rejects.toThrow("create data: no space");
  await expect(volumes.ensure(settings("bad/name"))).rejects.toThrow("create bad/name: bad/name is no name");
  await expect(volumes.ensure(settings("data", { driver: "nosuch" }))).rejects.toThrow(
    'create data: error looking up volume plugin nosuch: plugin "nosuch" not found',
  );
  expect([volumes.volumeNames(), [...memory.volumes.keys()], changes]).toEqual([[], [], []]);
  await volumes.ensure(settings("data"));
  expect(open().volumeNames()).toEqual(["data"]);
});

test("each driver has its own volumes, at the next start too", async () => {
  await volumes.ensure(settings("here"));
  expect(await volumes.ensure(settings("there", { driver: "plugin" }))).toMatchObject({ driver: "plugin" });
  await expect(volumes.ensure(settings("there", { driver: "memory" }))).rejects.toThrow(
    "create there: a volume named there already exists with the driver plugin",
  );
  expect((await volumes.ensure(settings("there"))).driver).toBe("plugin");
  const again = open();
  expect(again.list().map(({ name, driver }) => `${name} ${driver}`)).toEqual(["here memory", "there plugin"]);
  expect([[...memory.volumes.keys()], [...plugin.volumes.keys()]]).toEqual([["here"], ["there"]]);
  // As earlier versions wrote it.
  const rows = database.all("SELECT name, data FROM volumes").map(({ data }) => String(data));
  expect(rows.map((row) => row.includes("driver"))).toEqual([false, true]);
  await again.remove("there");
  expect(plugin.volumes.size).toBe(0);
});

test("the last holder's release unmounts, and never rejects", async () => {
  await volumes.ensure(settings("data", mounted));
  await Promise.all([volumes.acquire("data", "c1"), volumes.acquire("data", "c2")]);
  await volumes.release("data", "c1");
  await volumes.release("data", "c1");
  expect(isMounted("data")).toBe(true);
  faults.failNext("driver.unmount", new Error("busy"));
  await volumes.release("data", "c2");
  expect([isMounted("data"), logged.length]).toEqual([true, 1]);
  expect(logged[0]).toContain("busy");
  await volumes.acquire("data", "c3");
  await volumes.release("data", "c3");
  expect(isMounted("data")).toBe(false);
  await volumes.release("nosuch", "c1");
  await expect(volumes.acquire("nosuch", "c1")).rejects.toThrow("get nosuch: no such volume");
});

test("a failed mount needs a release too; one that hangs blocks only its volume's holders", async () => {
  await volumes.ensure(settings("data", mounted));
  await volumes.ensure(settings("other", mounted));
  faults.failNext("driver.mount", new Error("no server"));
  await expect(volumes.acquire("data", "c1")).rejects.toThrow("no server");
  await volumes.release("data", "c1");
  const hang = faults.hangNext("driver.mount");
  const acquired = volumes.acquire("data", "c1");
  await hang.reached;
  await volumes.acquire("other", "c2");
  expect((await volumes.ensure(settings("data"))).name).toBe("data");
  expect([volumes.list().length, isMounted("data"), isMounted("other")]).toEqual([2, false, true]);
  const released = volumes.release("data", "c1");
  hang.goOn();
  await Promise.all([acquired, released]);
  expect(isMounted("data")).toBe(false);
});

test("a release that waits does not unmount what a new holder has", async () => {
  await volumes.ensure(settings("data", mounted));
  await volumes.acquire("data", "c1");
  const hang = faults.hangNext("driver.mount");
  const second = volumes.acquire("data", "c2");
  await hang.reached;
  await volumes.release("data", "c2");
  const released = volumes.release("data", "c1");
  const third = volumes.acquire("data", "c3");
  hang.goOn();
  await Promise.all([second, released, third]);
  expect(isMounted("data")).toBe(true);
  expect(faults.calls.filter(({ name }) => name === "driver.unmount")).toEqual([]);
});

test("a volume in use is not removed, also when it was taken while the removal waited", async () => {
  await volumes.ensure(settings("data", mounted));
  users["data"] = ["c1"];
  await expect(volumes.remove("data")).rejects.toThrow("remove data: volume is in use - [c1]");
  expect(await volumes.removeIfUnused("data", "c2")).toBe(false);
  users = {};
  await volumes.acquire("data", "c0");
  const hang = faults.hangNext("driver.unmount");
  const removed = volumes.remove("data");
  await hang.reached;
  users["data"] = ["c3"];
  hang.goOn();
  await expect(removed).rejects.toThrow("remove data: volume is in use - [c3]");
  expect(volumes.get("data")).toBeDefined();
});

test("a removal that waits for a mount does not unmount what somebody took meanwhile", async () => {
  await volumes.ensure(settings("data", mounted));
  const hang = faults.hangNext("driver.mount");
  const acquired = volumes.acquire("data", "c1");
  await hang.reached;
  const removed = volumes.removeIfUnused("data", "c2");
  users["data"] = ["c1"];
  hang.goOn();
  await acquired;
  expect(await removed).toBe(false);
  expect(isMounted("data")).toBe(true);
});

test("a removal that fails leaves the volume; its own container does not count", async () => {
  await volumes.ensure(settings("data"));
  users["data"] = ["c1"];
  faults.failNext("driver.remove", new Error("read-only"));
  await expect(volumes.removeIfUnused("data", "c1")).rejects.toThrow("read-only");
  expect([volumes.volumeNames(), changes]).toEqual([["data"], ["created data memory"]]);
  expect(await volumes.removeIfUnused("data", "c1")).toBe(true);
  expect(await volumes.removeIfUnused("data", "c1")).toBe(true);
  expect([volumes.volumeNames(), memory.volumes.size, memory.unfreed]).toEqual([[], 0, 0]);
  expect(changes).toEqual(["created data memory", "removed data memory"]);
});

test("a request for a volume that is being removed waits and gets a new one; nobody waits for its bytes", async () => {
  await volumes.ensure(settings("data"));
  const going = faults.hangNext("driver.remove");
  const freeing = faults.hangNext("removed.free");
  const removed = volumes.remove("data");
  await going.reached;
  const ensured = volumes.ensure(settings("data"));
  going.goOn();
  await freeing.reached;
  expect((await ensured).name).toBe("data");
  expect(changes).toEqual(["created data memory", "removed data memory", "created data memory"]);
  freeing.fail(new Error("the disk broke"));
  await expect(removed).rejects.toThrow("the disk broke");
  expect(open().volumeNames()).toEqual(["data"]);
});

test("when two removals run, one removes it", async () => {
  await volumes.ensure(settings("data"));
  const removals = await Promise.allSettled([volumes.remove("data"), volumes.remove("data")]);
  expect(removals.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
});

test("a prune continues after a volume that cannot be measured or removed, and counts what it removed", async () => {
  for (const name of ["a1", "b1", "c1", "d1", "used"]) {
    await volumes.ensure(settings(name));
    memory.volumes.get(name)!.bytes = 10;
  }
  users["used"] = ["x"];
  faults.failNext("driver.usage", new Error("no answer"));
  faults.failNext("driver.remove", new Error("read-only"));
  expect(await volumes.prune(({ name }) => name !== "d1")).toEqual({ names: ["c1"], reclaimed: 10 });
  expect(volumes.volumeNames()).toEqual(["a1", "b1", "d1", "used"]);
  expect(logged).toHaveLength(2);
});

test("the error for a row with a member of another type names the row", () => {
  database.run("INSERT INTO volumes VALUES ('one', ?)", '{"name":"one","createdAt":"2026","labels":{"a":1}}');
  expect(open).toThrow("the row of volume one cannot be read");
});

test("a start whose recovery fails does not continue", () => {
  faults.failNext("driver.recover", new Error("no directory"));
  expect(open).toThrow("no directory");
});
