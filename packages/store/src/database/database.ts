/**
 * The engine's interface of SQLite: WAL, synchronous=FULL (a commit that returned survives a power loss), strict about its arguments.
 * bun:sqlite is synchronous; a commit costs about a quarter of a millisecond, a read a few microseconds.
 *
 * On a full disk the engine must still be able to start, to record that a container has ended, and to remove things to free space. So the
 * write-ahead log has its disk space in advance and keeps it (commits write into it, the database file grows later). There is no file of shared
 * memory: the one process that has the database open locks it.
 */
import { constants as sqliteConstants, Database as Sqlite, type Statement } from "bun:sqlite";
import { statSync } from "node:fs";
import { EngineError, isEngineError, messageOf } from "@fathom/base";
import { isObject } from "@fathom/spec";
import type { Database, Migration, SqlValue } from "../contract.ts";
import { makePrivate } from "./database-file.ts";
import { makeRoomForLog, syncFile } from "./log.ts";
import { quickCheck } from "./quick-check.ts";
import { damaged, translate } from "./sqlite-errors.ts";

/** How many prepared statements are kept; the oldest is dropped first. The engine has fewer different ones. */
const statementLimit = 256;

type Bindings = SqlValue[];

/** The database grows in steps of this size, so that rows find room in it. */
const growthBytes = 256 * 1024;

/** How long a relaxed commit may wait for the disk. */
const writeOutMs = 100;

/** How often a file that changed meanwhile is checked again. */
const checkTries = 5;

export interface DatabaseOptions {
  /**
   * Checks the file without its log, and not in this process; returns what is wrong with it (`checkDatabaseFile`). If other code in this
   * process opened and closed the file, SQLite would lose its locks on it. Without this function the check runs on this thread.
   * @throws when the result cannot be found out
   */
  readonly checkFile?: (path: string, signal: AbortSignal) => Promise<string | undefined>;
}

class SqliteDatabase implements Database {
  readonly #sqlite: Sqlite;
  readonly #path: string;
  readonly #checkFile: DatabaseOptions["checkFile"];
  readonly #closing = new AbortController();
  readonly #statements = new Map<string, Statement<Record<string, unknown>, Bindings>>();
  #depth = 0;
  #relaxed = false;
  #writeOut: ReturnType<typeof setTimeout> | undefined;

  constructor(sqlite: Sqlite, path: string, { checkFile }: DatabaseOptions) {
    this.#sqlite = sqlite;
    this.#path = path;
    this.#checkFile = checkFile;
  }

  migrate(component: string, migrations: readonly Migration[]): void {
    let previous = 0;
    for (const { version } of migrations) {
      if (version !== previous + 1)
        throw new EngineError("internal", `migration ${version} of ${component} does not follow ${previous}`);
      previous = version;
    }
    const done = this.get("SELECT version FROM schema_versions WHERE component = ?", component)?.["version"];
    const current = typeof done === "number" ? done : 0;
    if (current > previous)
      throw new EngineError(
        "conflict",
        `the database has version ${current} of ${component}, this program knows ${previous}: it was written by a newer fathom`,
      );
    for (const migration of migrations.slice(current)) {
      this.transaction(() => {
        for (const statement of migration.up) this.#translate(statement, () => this.#sqlite.run(statement));
        this.run(
          "INSERT INTO schema_versions (component, version) VALUES (?, ?) ON CONFLICT (component) DO UPDATE SET version = excluded.version",
          component,
          migration.version,
        );
      });
    }
    // New tables get their pages in the database's file now, while there is space.
    if (current < previous) this.run("PRAGMA wal_checkpoint(PASSIVE)");
  }

  run(sql: string, ...parameters: SqlValue[]): { readonly changes: number } {
    return this.#translate(sql, () => ({ changes: this.#prepare(sql).run(...parameters).changes }));
  }

  all(sql: string, ...parameters: SqlValue[]): Record<string, unknown>[] {
    return this.#translate(sql, () => this.#prepare(sql).all(...parameters));
  }

  get(sql: string, ...parameters: SqlValue[]): Record<string, unknown> | undefined {
    return this.#translate(sql, () => this.#prepare(sql).get(...parameters)) ?? undefined;
  }

  /** When a statement finds damage, the error names the file and the remedies. */
  #translate<T>(sql: string, action: () => T): T {
    return withWayOut(this.#path, () => translate(sql, action));
  }

  transaction<T>(action: () => T): T {
    if (this.#depth > 0) return action();
    translate("BEGIN IMMEDIATE", () => this.#sqlite.run("BEGIN IMMEDIATE"));
    this.#depth++;
    try {
      const result = action();
      if (result instanceof Promise)
        throw new EngineError("internal", "a transaction's action may not be asynchronous");
      this.#translate("COMMIT", () => this.#sqlite.run("COMMIT"));
      return result;
    } catch (error) {
      // SQLite may have rolled back by itself (disk full): then a second rollback is an error that can be ignored.
      if (this.#sqlite.inTransaction) this.#sqlite.run("ROLLBACK");
      throw error;
    } finally {
      this.#depth--;
    }
  }

  relaxed<T>(action: () => T): T {
    // The pragma has no effect inside a transaction; the transaction decides.
    if (this.#depth > 0 || this.#relaxed) return action();
    this.run("PRAGMA synchronous = NORMAL");
    this.#relaxed = true;
    try {
      return action();
    } finally {
      this.#relaxed = false;
      this.run("PRAGMA synchronous = FULL");
      this.#writeOutSoon();
    }
  }

  /** One background write for all relaxed commits of the next moments, in the runtime's thread pool. */
  #writeOutSoon(): void {
    if (this.#writeOut !== undefined || this.#path === ":memory:") return;
    this.#writeOut = setTimeout(() => {
      this.#writeOut = undefined;
      // If a checkpoint has just removed the log, it has written the data. The next durable commit reports any other failure.
      syncFile(`${this.#path}-wal`).catch(() => undefined);
    }, writeOutMs);
    this.#writeOut.unref();
  }

  readObject(row: string, text: unknown, members: readonly string[]): Readonly<Record<string, unknown>> {
    const bad = (reason: string, cause?: unknown): EngineError =>
      damaged(this.#path, `the row of ${row} cannot be read: ${reason}`, cause);
    let value: unknown;
    try {
      value = JSON.parse(String(text));
    } catch (error) {
      throw bad(messageOf(error), error);
    }
    if (!isObject(value)) throw bad("it is no object");
    const missing = members.filter((member) => !Object.hasOwn(value, member));
    if (missing.length > 0) throw bad(`it has no ${missing.join(", ")}`);
    return value;
  }

  async check(): Promise<void> {
    const checkFile = this.#path === ":memory:" ? undefined : this.#checkFile;
    if (checkFile === undefined) return this.#checkHere();
    for (let tries = 0; tries < checkTries; tries++) {
      // The log's data goes into the file. The file then stays unchanged until the log is copied into it again.
      const { busy, log, checkpointed } = this.get("PRAGMA wal_checkpoint(PASSIVE)") ?? {};
      const before = this.#fileVersion();
      const found = await checkFile(this.#path, this.#closing.signal);
      if (found === undefined) return;
      if (busy === 0 && log === checkpointed && this.#fileVersion() === before) throw damaged(this.#path, found);
    }
    throw new EngineError(
      "unavailable",
      `the database ${this.#path} cannot be checked for damage: it changes all the time, or its disk is full`,
    );
  }

  #fileVersion(): string {
    const { mtimeNs, size } = statSync(this.#path, { bigint: true });
    return `${mtimeNs} ${size}`;
  }

  async #checkHere(): Promise<void> {
    const tables = this.all("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    // From the file, not from SQLite's cache.
    this.run("PRAGMA shrink_memory");
    for (const { name } of tables) {
      // Other work needs this thread too: one table at a time.
      await new Promise((resolve) => setImmediate(resolve));
      let found: string | undefined;
      try {
        found = translate("quick_check", () => quickCheck(this.#sqlite, String(name)));
      } catch (error) {
        found = messageOf(error);
      }
      if (found !== undefined) throw damaged(this.#path, found);
    }
  }

  close(): void {
    this.#closing.abort();
    clearTimeout(this.#writeOut);
    for (const statement of this.#statements.values()) statement.finalize();
    this.#statements.clear();
    this.#sqlite.close();
  }

  #prepare(sql: string): Statement<Record<string, unknown>, Bindings> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#sqlite.prepare<Record<string, unknown>, Bindings>(sql);
      this.#statements.set(sql, statement);
      if (this.#statements.size > statementLimit) {
        const [oldest, old] = this.#statements.entries().next().value!;
        this.#statements.delete(oldest);
        old.finalize();
      }
    }
    return statement;
  }
}

/** A database up to this size is checked before it is used: some ten milliseconds at most. A larger one is only checked in the background. */
const startCheckBytes = 16 * 2 ** 20;

/**
 * Opens or makes the database at `path` (":memory:" for tests).
 * @throws unavailable when another process has locked it, data-loss with a remedy when the file is damaged or is no database
 */
export function openDatabase(path: string, options: DatabaseOptions = {}): Database {
  return withWayOut(path, () => open(path, options));
}

function withWayOut<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!isEngineError(error, "data-loss") || path === ":memory:") throw error;
    throw damaged(path, messageOf(error), error);
  }
}

function open(path: string, options: DatabaseOptions): Database {
  const sqlite = translate(`open ${path}`, () => {
    if (path !== ":memory:") {
      if (statSync(path, { throwIfNoEntry: false })?.isFile() === false)
        throw new EngineError("data-loss", "it is a directory, or another thing that is no file");
      makePrivate(path);
    }
    return new Sqlite(path, { create: true, readwrite: true, strict: true });
  });
  try {
    translate("pragmas", () => {
      sqlite.run("PRAGMA busy_timeout = 5000");
      sqlite.run("PRAGMA locking_mode = EXCLUSIVE");
      sqlite.run("PRAGMA journal_mode = WAL");
      sqlite.fileControl(sqliteConstants.SQLITE_FCNTL_PERSIST_WAL, 1);
      sqlite.fileControl(sqliteConstants.SQLITE_FCNTL_CHUNK_SIZE, growthBytes);
      sqlite.run("PRAGMA synchronous = FULL");
      sqlite.run("PRAGMA foreign_keys = ON");
      if (path !== ":memory:" && statSync(path).size <= startCheckBytes) {
        const found = quickCheck(sqlite);
        if (found !== undefined) throw new EngineError("data-loss", found);
      }
      // A page cache of 1 MiB is enough, because the engine reads from its maps in memory.
      sqlite.run("PRAGMA cache_size = -1024");
      sqlite.run(
        "CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID",
      );
    });
  } catch (error) {
    sqlite.close();
    throw error;
  }
  if (path !== ":memory:") {
    try {
      sqlite.run(`PRAGMA wal_autocheckpoint = ${makeRoomForLog(path)}`);
    } catch {
      // The disk is already full; the next start tries again.
    }
  }
  return new SqliteDatabase(sqlite, path, options);
}
