import { expect, test } from "bun:test";
import { silentLogger } from "@fathom/base";
import type { Database } from "../contract.ts";
import { openDatabase } from "../database/database.ts";
import { createDurability } from "./durability.ts";
import { storeMigrations } from "../database/schema.ts";

function databaseWithLayer(): Database {
  const database = openDatabase(":memory:");
  database.migrate("store", storeMigrations);
  database.run(
    "INSERT INTO layers (chain_id, diff_id, parent, cache_id, link, size, boot) VALUES ('sha256:a', 'sha256:a', NULL, 'cache', 'link', 1, 'boot')",
  );
  return database;
}

const pending = (database: Database): number => database.all("SELECT 1 FROM layers WHERE boot IS NOT NULL").length;

test("a failed background write is tried again, without a request, until it works", async () => {
  const database = databaseWithLayer();
  const done = Promise.withResolvers<void>();
  let tries = 0;
  const sync = async (): Promise<void> => {
    if (++tries < 4) throw new Error("the disk is not there");
    done.resolve();
  };
  const durability = createDurability(database, sync, silentLogger, { quietMs: 1 });
  durability.request();
  await done.promise;
  await durability.close();
  expect(tries).toBe(4);
  expect(pending(database)).toBe(0);
  database.close();
});

test("the end does not wait for ever for a disk that hangs, and afterwards no row says that the data is on disk", async () => {
  const database = databaseWithLayer();
  const hung = Promise.withResolvers<void>();
  const warnings: string[] = [];
  const logger = { ...silentLogger, error: (message: string) => void warnings.push(message) };
  const durability = createDurability(database, () => hung.promise, logger, { quietMs: 1, closeMs: 10 });
  await durability.close();
  expect(warnings).toHaveLength(1);
  expect(pending(database)).toBe(1);
  // The database is closed by now: nothing may use it.
  database.close();
  hung.resolve();
  await new Promise(setImmediate);
});
