/** Whether the pages of a database are as SQLite wrote them (sqlite.org/pragma.html#pragma_quick_check). */
import { constants, Database as Sqlite } from "bun:sqlite";
import { messageOf } from "@fathom/base";

/** What is wrong with the pages of a table, or of all tables; undefined when nothing is. */
export function quickCheck(sqlite: Sqlite, table?: string): string | undefined {
  const which = table === undefined ? "1" : `"${table.replaceAll('"', '""')}"`;
  const [row] = sqlite.query<Record<string, unknown>, []>(`PRAGMA quick_check(${which})`).all();
  const said = row === undefined ? "no answer" : String(Object.values(row)[0]);
  return said === "ok" ? undefined : said.split("\n").slice(0, 2).join(" ");
}

/**
 * The same for a file that another process has open. It is read without locks and without its log, and nothing is written beside it. While a
 * checkpoint writes to it, the result means nothing.
 * @throws SQLite's error for a file that cannot be read
 */
export function checkDatabaseFile(path: string): string | undefined {
  const address = path.split("/").map(encodeURIComponent).join("/");
  const { SQLITE_OPEN_READONLY, SQLITE_OPEN_URI } = constants;
  const sqlite = new Sqlite(`file:${address}?immutable=1`, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
  try {
    return quickCheck(sqlite);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code.startsWith("SQLITE_CORRUPT") || code.startsWith("SQLITE_NOTADB")) return messageOf(error);
    throw error;
  } finally {
    sqlite.close();
  }
}
