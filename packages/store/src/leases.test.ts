import { expect, test } from "bun:test";
import { systemClock, type Clock } from "@fathom/base";
import type { Digest } from "@fathom/spec";
import { openDatabase } from "./database/database.ts";
import { storeMigrations } from "./database/schema.ts";
import { createLeases } from "./leases.ts";
import { bytes, openTestStore, temporaryRoot } from "./testing/test-support.ts";

/** A clock that goes on when the test says so. */
function testClock(): Clock & { ms: number } {
  return {
    ...systemClock,
    ms: 1_700_000_000_000,
    nowNs() {
      return BigInt(this.ms) * 1_000_000n;
    },
  };
}

test("a start of the engine releases the leases of its own earlier starts, and no other", async () => {
  using root = temporaryRoot();
  const clock = testClock();
  let held: Digest[];
  {
    await using store = await openTestStore(root.path, { clock });
    const pull = store.leases.create("pull");
    const build = store.leases.create("build", { client: "builder", expiresInMs: 60_000 });
    held = [
      store.content.put(bytes("of the pull"), pull).digest,
      store.content.put(bytes("of the client"), build).digest,
    ];
    // Of this start itself it releases nothing.
    store.leases.releaseEarlier();
    expect(store.leases.list().map(({ label, owner }) => [label, owner])).toEqual(
      expect.arrayContaining([
        ["pull", { kind: "engine", current: true }],
        ["build", { kind: "client", name: "builder" }],
      ]),
    );
  }
  await using store = await openTestStore(root.path, { clock });
  const pull = store.leases.create("pull again");
  expect(store.leases.list().filter(({ owner }) => owner.kind === "engine" && !owner.current)).toHaveLength(1);
  store.leases.releaseEarlier();
  expect(
    store.leases
      .list()
      .map(({ label }) => label)
      .sort(),
  ).toEqual(["build", "pull again"]);
  expect([...(await store.collect()).blobs]).toEqual([held[0]!]);
  store.leases.release(pull);
});

test("a client's lease holds until it expires: then a collection takes what it held, and nothing new is held under it", async () => {
  using root = temporaryRoot();
  const clock = testClock();
  await using store = await openTestStore(root.path, { clock });
  const lease = store.leases.create("build", { client: "builder", expiresInMs: 1000 });
  const { digest } = store.content.put(bytes("kept"), lease);
  clock.ms += 999;
  expect((await store.collect()).blobs).toEqual([]);
  store.leases.extend(lease, 1000);
  clock.ms += 999;
  expect((await store.collect()).blobs).toEqual([]);
  expect(store.leases.list()[0]).toMatchObject({ expiresAtMs: clock.ms + 1 });

  clock.ms += 1;
  const expired = expect.objectContaining({ code: "not-found", message: expect.stringContaining("has expired") });
  expect(() => store.content.put(bytes("late"), lease)).toThrow(expired);
  expect(() => store.leases.extend(lease, 1000)).toThrow(expired);
  // Not collected yet: the row is there, and holds nothing.
  expect(store.leases.list()).toHaveLength(1);
  expect((await store.collect()).blobs).toContain(digest);
  expect(store.leases.list()).toEqual([]);
  store.leases.release(lease);
});

test("the engine's own leases do not expire, and a client's needs a time", async () => {
  using root = temporaryRoot();
  const clock = testClock();
  await using store = await openTestStore(root.path, { clock });
  const lease = store.leases.create("pull");
  const { digest } = store.content.put(bytes("kept"), lease);
  clock.ms += 1e12;
  expect((await store.collect()).blobs).toEqual([]);
  expect(store.content.info(digest)).toBeDefined();
  const refused = expect.objectContaining({ code: "invalid-argument" });
  expect(() => store.leases.extend(lease, 1000)).toThrow(refused);
  for (const expiresInMs of [0, -1, Number.NaN, Infinity])
    expect(() => store.leases.create("x", { client: "c", expiresInMs })).toThrow(refused);
  expect(store.leases.list()).toHaveLength(1);
});

test("migration 4 makes the leases that are there ones of an earlier start, with what they hold", () => {
  const database = openDatabase(":memory:");
  database.migrate("store", storeMigrations.slice(0, 3));
  database.run("INSERT INTO leases (id, label, created_at) VALUES ('old', 'pull', '2026-01-01T00:00:00Z')");
  database.run("INSERT INTO lease_holds (lease, kind, name) VALUES ('old', 'blob', 'sha256:x')");
  database.migrate("store", storeMigrations.slice(0, 4));
  const leases = createLeases(database, systemClock);
  expect(leases.list()).toEqual([
    {
      id: "old",
      label: "pull",
      owner: { kind: "engine", current: false },
      createdAt: "2026-01-01T00:00:00Z",
      expiresAtMs: undefined,
    },
  ]);
  expect(database.all("SELECT name FROM lease_holds")).toEqual([{ name: "sha256:x" }]);
  expect(() => database.run("INSERT INTO leases (id, label, created_at, client) VALUES ('x', 'x', 'x', 'c')")).toThrow(
    /CHECK/,
  );
  leases.releaseEarlier();
  expect(leases.list()).toEqual([]);
  expect(database.all("SELECT name FROM lease_holds")).toEqual([]);
  database.close();
});
