/** The interface of SQLite that the metadata of all packages uses. */

/** An ordered list of migrations for the tables of one component; each runs once, in one transaction. */
export interface Migration {
  readonly version: number;
  readonly up: readonly string[];
}

/** A small synchronous interface of SQLite (bun:sqlite), WAL, synchronous=FULL. */
export interface Database {
  migrate(component: string, migrations: readonly Migration[]): void;
  run(sql: string, ...parameters: SqlValue[]): { readonly changes: number };
  all(sql: string, ...parameters: SqlValue[]): Record<string, unknown>[];
  get(sql: string, ...parameters: SqlValue[]): Record<string, unknown> | undefined;
  /** BEGIN IMMEDIATE … COMMIT; a nested call joins the outer transaction. */
  transaction<T>(action: () => T): T;
  /**
   * Commits of `action` do not wait for the disk. A crash of this program loses nothing. A power loss soon after may lose whole commits, the
   * newest first, until the background write (after `writeOutMs`, or earlier with any other commit). For data that a power loss makes wrong
   * anyway.
   */
  relaxed<T>(action: () => T): T;
  /**
   * The object that a row holds as JSON; it must have these members. SQLite notices damaged pages, but not damaged text in them.
   * @param row The name of the row in the error: "container x".
   * @throws data-loss; the message names the file and what the user can do
   */
  readObject(row: string, text: unknown, members: readonly string[]): Readonly<Record<string, unknown>>;
  /**
   * Reads every page again, in another process if there is one for it. @throws data-loss; the message names the file and what the user can do.
   * unavailable when it cannot be found out
   */
  check(): Promise<void>;
  close(): void;
}

export type SqlValue = string | number | bigint | null | Uint8Array;
