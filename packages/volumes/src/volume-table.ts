/** The rows of volumes: reads come from the map in memory, and every change is one transaction. */
import { EngineError } from "@fathom/base";
import type { Database } from "@fathom/store";
import type { VolumeRecord } from "./contract.ts";
import { isStringMap } from "./string-map.ts";

type TableDatabase = Pick<Database, "migrate" | "all" | "run" | "readObject">;

export class VolumeTable {
  readonly #database: TableDatabase;
  readonly #rows = new Map<string, VolumeRecord>();
  readonly #defaultDriver: string;

  /** @param defaultDriver The driver of rows that name none. @throws data-loss; the message names the row */
  constructor(database: TableDatabase, defaultDriver: string) {
    this.#database = database;
    this.#defaultDriver = defaultDriver;
    database.migrate("volumes", [
      { version: 1, up: ["CREATE TABLE volumes (name TEXT PRIMARY KEY, data TEXT NOT NULL) STRICT, WITHOUT ROWID"] },
    ]);
    for (const { name, data } of database.all("SELECT name, data FROM volumes")) {
      const row = this.#read(`volume ${String(name)}`, data);
      this.#rows.set(row.name, row);
    }
  }

  #read(what: string, data: unknown): VolumeRecord {
    const row = this.#database.readObject(what, data, ["name", "createdAt"]);
    const { name, createdAt, driver = this.#defaultDriver, labels = null, options = null } = row;
    if (
      typeof name !== "string" ||
      typeof createdAt !== "string" ||
      typeof driver !== "string" ||
      (labels !== null && !isStringMap(labels)) ||
      (options !== null && !isStringMap(options))
    )
      throw new EngineError(
        "data-loss",
        `the row of ${what} cannot be read: a member has the wrong type; --rebuild-database makes the rows again from the descriptions beside the data`,
      );
    return { name, driver, createdAt, labels, options };
  }

  get(name: string): VolumeRecord | undefined {
    return this.#rows.get(name);
  }

  /** Live: a row that is deleted meanwhile is not visited any more. */
  values(): IterableIterator<VolumeRecord> {
    return this.#rows.values();
  }

  names(): readonly string[] {
    return [...this.#rows.keys()];
  }

  put(row: VolumeRecord): void {
    const { name, driver, createdAt, labels, options } = row;
    this.#database.run(
      "INSERT INTO volumes (name, data) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET data = excluded.data",
      name,
      // Rows of the default driver name none, as in earlier versions.
      JSON.stringify({ name, createdAt, labels, options, ...(driver === this.#defaultDriver ? {} : { driver }) }),
    );
    this.#rows.set(name, row);
  }

  delete(name: string): void {
    this.#database.run("DELETE FROM volumes WHERE name = ?", name);
    this.#rows.delete(name);
  }
}
