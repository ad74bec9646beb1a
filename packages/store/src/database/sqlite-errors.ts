/** Errors of the database, as the engine's errors. */
import { EngineError, messageOf } from "@fathom/base";

/** Maps SQLite's result codes to the engine's (sqlite.org/rescode.html). */
export function translate<T>(sql: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof EngineError) throw error;
    const name = error instanceof Error && "code" in error ? String(error.code) : "";
    const head = sql.length > 80 ? `${sql.slice(0, 80)}…` : sql;
    const message = `database: ${messageOf(error)} (${head})`;
    if (name.startsWith("SQLITE_FULL") || name.startsWith("SQLITE_IOERR"))
      throw new EngineError("resource-exhausted", `${message}: is the disk full?`, { cause: error });
    if (name.startsWith("SQLITE_BUSY") || name.startsWith("SQLITE_LOCKED"))
      throw new EngineError("unavailable", message, { cause: error });
    if (name.startsWith("SQLITE_CONSTRAINT")) throw new EngineError("conflict", message, { cause: error });
    if (name.startsWith("SQLITE_CORRUPT") || name.startsWith("SQLITE_NOTADB") || lacksTable(error))
      throw new EngineError("data-loss", message, { cause: error });
    throw new EngineError("internal", message, { cause: error });
  }
}

/** The tables differ from those of the migrations: another program has changed them. SQLite has words for it, but no code of its own. */
function lacksTable(error: unknown): boolean {
  return /^no such (?:table|column): |^table \S+ already exists$/.test(messageOf(error));
}

export function damaged(path: string, reason: string, cause?: unknown): EngineError {
  return new EngineError(
    "data-loss",
    `the database ${path} is damaged (${reason}): stop the daemon, and put a backup in its place, without ${path}-wal; or start the daemon once with --rebuild-database, which keeps the damaged file under another name and takes up all containers and volumes from their own descriptions: images are then to be pulled or loaded again`,
    { cause },
  );
}
