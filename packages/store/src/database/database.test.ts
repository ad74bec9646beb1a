import { expect, test } from "bun:test";
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { EngineError, silentLogger } from "@fathom/base";
import { openDatabase, type DatabaseOptions } from "./database.ts";
import { setDatabaseAside } from "./database-file.ts";
import { storeMigrations } from "./schema.ts";
import { temporaryRoot } from "../testing/test-support.ts";

test("a commit is durable: WAL with synchronous=FULL", () => {
  using root = temporaryRoot();
  const database = openDatabase(join(root.path, "a.db"));
  expect(database.get("PRAGMA journal_mode")).toEqual({ journal_mode: "wal" });
  expect(database.get("PRAGMA synchronous")).toEqual({ synchronous: 2 });
  expect(database.get("PRAGMA foreign_keys")).toEqual({ foreign_keys: 1 });
  database.close();
});

test("only root can read the rows, also in a directory that others may read: rows contain environments and so passwords", () => {
  using root = temporaryRoot();
  const path = join(root.path, "a.db");
  writeFileSync(path, "", { mode: 0o644 });
  const database = openDatabase(path);
  database.migrate("x", [{ version: 1, up: ["CREATE TABLE t (a TEXT) STRICT"] }]);
  const modes = readdirSync(root.path).map((name) => (statSync(join(root.path, name)).mode & 0o777).toString(8));
  expect(modes).toEqual(["600", "600"]);
  database.close();
});

test("each migration runs once, in order, and completely or not at all", () => {
  using root = temporaryRoot();
  const path = join(root.path, "a.db");
  const first = { version: 1, up: ["CREATE TABLE t (a TEXT) STRICT", "INSERT INTO t VALUES ('one')"] };
  const second = { version: 2, up: ["INSERT INTO t VALUES ('two')"] };
  const broken = { version: 3, up: ["INSERT INTO t VALUES ('three')", "nonsense"] };
  let database = openDatabase(path);
  database.migrate("x", [first]);
  database.close();
  database = openDatabase(path);
  database.migrate("x", [first, second]);
  database.migrate("x", [first, second]);
  expect(() => database.migrate("x", [first, second, broken])).toThrow(/nonsense/);
  expect(database.all("SELECT a FROM t")).toEqual([{ a: "one" }, { a: "two" }]);
  expect(() => database.migrate("x", [first])).toThrow(/written by a newer fathom/);
  expect(() => database.migrate("y", [second])).toThrow(/does not follow/);
  database.close();
});

test("migration 1 of the store makes its tables", () => {
  const database = openDatabase(":memory:");
  database.migrate("store", storeMigrations.slice(0, 1));
  const names = database
    .all("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .map((row) => row["name"]);
  expect(names).toEqual([
    "blobs",
    "container_layers",
    "image_blobs",
    "image_layers",
    "image_references",
    "images",
    "layers",
    "lease_holds",
    "leases",
    "schema_versions",
    "store_state",
  ]);
  database.close();
});

test("migration 5: existing layers keep their chain ids, and writable layers belong to containers", () => {
  const database = openDatabase(":memory:");
  database.migrate("store", storeMigrations.slice(0, 4));
  database.run(
    "INSERT INTO layers (chain_id, diff_id, cache_id, link, size) VALUES ('chain', 'diff', 'cache', 'L', 1)",
  );
  database.run("INSERT INTO container_layers (id, parent, link) VALUES ('c', 'chain', 'M')");
  database.migrate("store", storeMigrations.slice(0, 5));
  expect(database.get("SELECT diff_id, true_chain, tar_size FROM layers")).toEqual({
    diff_id: "diff",
    true_chain: "chain",
    tar_size: null,
  });
  expect(database.get("SELECT * FROM container_layers")).toEqual({
    id: "c",
    parent: "chain",
    link: "M",
    kind: "active",
    owner: "container",
    directory: null,
  });
  database.close();
});

test("transactions join the outer one and are rolled back completely", () => {
  const database = openDatabase(":memory:");
  database.run("CREATE TABLE t (a INTEGER PRIMARY KEY) STRICT");
  expect(() =>
    database.transaction(() => {
      database.run("INSERT INTO t VALUES (1)");
      database.transaction(() => database.run("INSERT INTO t VALUES (2)"));
      throw new Error("no");
    }),
  ).toThrow("no");
  expect(database.all("SELECT a FROM t")).toEqual([]);
  database.transaction(() => database.transaction(() => database.run("INSERT INTO t VALUES (3)")));
  expect(database.get("SELECT a FROM t")).toEqual({ a: 3 });
  expect(database.get("SELECT a FROM t WHERE a = 9")).toBeUndefined();
  expect(() => database.run("INSERT INTO t VALUES (3)")).toThrow(expect.objectContaining({ code: "conflict" }));
  expect(() => database.transaction(async () => 1)).toThrow(/may not be asynchronous/);
  database.close();
});

test("more different statements than are kept prepared still work", () => {
  const database = openDatabase(":memory:");
  for (let index = 0; index < 600; index++) expect(database.get(`SELECT ${index} AS n`)).toEqual({ n: index });
  expect(database.get("SELECT 0 AS n")).toEqual({ n: 0 });
  database.close();
});

test("relaxed commits survive a crash and restore synchronous, also when they fail", async () => {
  using root = temporaryRoot();
  const path = join(root.path, "a.db");
  const database = openDatabase(path);
  database.run("CREATE TABLE t (a INTEGER PRIMARY KEY) STRICT");
  const during = database.relaxed(() => {
    database.transaction(() => database.run("INSERT INTO t VALUES (1)"));
    return database.get("PRAGMA synchronous");
  });
  expect(during).toEqual({ synchronous: 1 });
  for (const suffix of ["", "-wal"]) cpSync(path + suffix, join(root.path, `crashed${suffix}`));
  const other = openDatabase(join(root.path, "crashed"));
  expect(other.all("SELECT a FROM t")).toEqual([{ a: 1 }]);
  other.close();
  expect(() => database.relaxed(() => database.run("INSERT INTO t VALUES (1)"))).toThrow(/UNIQUE/);
  expect(database.get("PRAGMA synchronous")).toEqual({ synchronous: 2 });
  // Inside a transaction, the transaction decides.
  database.transaction(() =>
    database.relaxed(() => expect(database.get("PRAGMA synchronous")).toEqual({ synchronous: 2 })),
  );
  // The background write finds the log, or finds it removed.
  // sleep: longer than the delay of the background write
  await Bun.sleep(150);
  database.close();
  // sleep: one turn of the event loop, in which a late background write would fail
  await Bun.sleep(0);
});

test("the log has its full size from the start, and after a crash it is read up to its true end", () => {
  using root = temporaryRoot();
  using copy = temporaryRoot();
  const path = join(root.path, "a.db");
  const database = openDatabase(path);
  const size = statSync(`${path}-wal`).size;
  expect(size).toBeGreaterThan(4_000_000);
  database.run("CREATE TABLE t (a INTEGER PRIMARY KEY) STRICT");
  for (let round = 0; round < 3000; round++) database.relaxed(() => database.run("INSERT INTO t VALUES (?)", round));
  expect(statSync(`${path}-wal`).size).toBe(size);
  for (const name of ["a.db", "a.db-wal"]) cpSync(join(root.path, name), join(copy.path, name));
  database.close();
  const again = openDatabase(join(copy.path, "a.db"));
  expect(again.get("SELECT count(*) AS n, max(a) AS last FROM t")).toEqual({ n: 3000, last: 2999 });
  again.close();
});

test("overwritten pages are found when it is opened, and by a check while it is open; the error names the file and a remedy", async () => {
  using root = temporaryRoot();
  const path = join(root.path, "a.db");
  const fill = (database: ReturnType<typeof openDatabase>): void => {
    database.migrate("x", [{ version: 1, up: ["CREATE TABLE t (a TEXT) STRICT"] }]);
    for (let row = 0; row < 200; row++) database.run("INSERT INTO t VALUES (?)", "x".repeat(500));
    database.run("PRAGMA wal_checkpoint(TRUNCATE)");
  };
  const database = openDatabase(path);
  fill(database);
  await database.check();
  const file = openSync(path, "r+");
  for (let page = 3; page < 12; page++) writeSync(file, new Uint8Array(4096).fill(0xa5), 0, 4096, page * 4096);
  closeSync(file);
  await expect(database.check()).rejects.toThrow(`the database ${path} is damaged`);
  database.close();
  expect(() => openDatabase(path)).toThrow(/--rebuild-database/);

  setDatabaseAside(path, silentLogger);
  expect(existsSync(path)).toBe(false);
  expect(readdirSync(root.path).some((name) => name.startsWith("a.db.damaged-"))).toBe(true);
  const next = openDatabase(path);
  fill(next);
  await next.check();
  next.close();
});

const tables = [{ version: 1, up: ["CREATE TABLE t (a TEXT) STRICT", "CREATE TABLE u (b TEXT) STRICT"] }];
test.each<[string, string]>([
  ["a table is gone", "DROP TABLE t"],
  ["a column is gone", "ALTER TABLE t RENAME COLUMN a TO z"],
  ["the versions of the tables are gone", "DROP TABLE schema_versions"],
])("%s: the error names the file and the remedies", (_name, change) => {
  using root = temporaryRoot();
  const path = join(root.path, "a.db");
  let database = openDatabase(path);
  database.migrate("x", tables);
  database.run(change);
  database.close();
  database = openDatabase(path);
  const use = (): void => {
    database.migrate("x", tables);
    database.all("SELECT a FROM t");
  };
  expect(use).toThrow(expect.objectContaining({ code: "data-loss" }));
  expect(use).toThrow(new RegExp(`the database ${path} is damaged .*--rebuild-database`));
  database.close();
  setDatabaseAside(path, silentLogger);
  database = openDatabase(path);
  use();
  database.close();
});

test("the error for a directory in the database's place has the remedies, and the directory can be moved aside", () => {
  using root = temporaryRoot();
  const path = join(root.path, "a.db");
  mkdirSync(path);
  expect(() => openDatabase(path)).toThrow(expect.objectContaining({ code: "data-loss" }));
  expect(() => openDatabase(path)).toThrow(
    new RegExp(`the database ${path} is damaged .*directory.*--rebuild-database`),
  );
  setDatabaseAside(path, silentLogger);
  openDatabase(path).close();
  expect(readdirSync(root.path).filter((name) => name.startsWith("a.db.damaged-"))).toHaveLength(1);
});

/** A database with rows in its file; `spoil` writes random bytes over a page with rows. */
function filled(root: string, options: DatabaseOptions) {
  const path = join(root, "a ?#%41.db");
  const database = openDatabase(path, options);
  database.migrate("x", [{ version: 1, up: ["CREATE TABLE t (a TEXT) STRICT"] }]);
  for (let row = 0; row < 200; row++) database.run("INSERT INTO t VALUES (?)", "x".repeat(500));
  const spoil = (): void => {
    database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    const file = openSync(path, "r+");
    writeSync(file, new Uint8Array(4096).fill(0xa5), 0, 4096, 5 * 4096);
    closeSync(file);
  };
  return { database, path, spoil };
}

/** As the daemon does it. */
async function checkInChild(path: string): Promise<string | undefined> {
  const script = `import { checkDatabaseFile } from ${JSON.stringify(join(import.meta.dir, "quick-check.ts"))};
    process.stdout.write(checkDatabaseFile(process.argv.at(-1)) ?? "");`;
  const child = Bun.spawn([process.execPath, "-e", script, path], { stdout: "pipe", stderr: "inherit" });
  const found = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  return found === "" ? undefined : found;
}

test("another process finds damage in the file of an open database, and the database's own lock stays", async () => {
  using root = temporaryRoot();
  const { database, path, spoil } = filled(root.path, { checkFile: checkInChild });
  // Data that is only in the log counts too.
  database.run("INSERT INTO t VALUES ('last')");
  await database.check();
  const script = `import { Database } from "bun:sqlite"; new Database(process.argv.at(-1)).query("SELECT 1 FROM t").all();`;
  const other = Bun.spawnSync([process.execPath, "-e", script, path]);
  expect(other.stderr.toString()).toContain("database is locked");
  const files = readdirSync(root.path).sort();
  spoil();
  await expect(database.check()).rejects.toThrow(`the database ${path} is damaged`);
  expect(readdirSync(root.path).sort()).toEqual(files);
  database.close();
  await expect(checkInChild(path)).resolves.toContain("Tree");
});

test("the check reads no table on this thread, and ignores a result about a file that changed meanwhile", async () => {
  using root = temporaryRoot();
  const answers: (string | undefined)[] = [];
  let during = (): void => undefined;
  let asked = 0;
  const checkFile = async (): Promise<string | undefined> => {
    asked++;
    during();
    return answers.shift();
  };
  const { database, path, spoil } = filled(root.path, { checkFile });
  const change = (): void => {
    database.run("INSERT INTO t VALUES ('more')");
    database.run("PRAGMA wal_checkpoint(PASSIVE)");
  };
  // A checkpoint wrote while the file was read.
  during = () => {
    if (asked === 1) change();
  };
  answers.push("page 3 is torn");
  await database.check();
  expect(asked).toBe(2);
  during = change;
  answers.push(...Array.from({ length: 10 }, () => "page 3 is torn"));
  await expect(database.check()).rejects.toMatchObject({ code: "unavailable" });
  during = () => undefined;
  answers.splice(0, answers.length, "page 3 is torn");
  await expect(database.check()).rejects.toThrow(`the database ${path} is damaged (page 3 is torn)`);
  spoil();
  await database.check();
  const failing = openDatabase(join(root.path, "b.db"), {
    checkFile: () => Promise.reject(new EngineError("unavailable", "no process left")),
  });
  await expect(failing.check()).rejects.toThrow("no process left");
  for (const one of [database, failing]) one.close();
});

test("a running check ends with its database", async () => {
  using root = temporaryRoot();
  const { database } = filled(root.path, {
    checkFile: (_, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
  });
  const checking = database.check();
  database.close();
  await expect(checking).rejects.toThrow();
});
