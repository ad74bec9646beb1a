import { expect, test } from "bun:test";
import { systemClock } from "@fathom/base";
import { openDatabase } from "../database/database.ts";
import { storeMigrations } from "../database/schema.ts";
import { createLeases } from "./leases.ts";

test("migration 4 gives existing leases, with what they hold, to an earlier start", () => {
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
