/** The SQLite surface that the metadata of all packages is in. */

/** An ordered list of migrations of one component's tables; each runs once, in one transaction. */
export interface Migration {
  readonly version: number;
  readonly up: readonly string[];
}

/** A small synchronous SQLite surface (bun:sqlite), WAL, synchronous=FULL. */
export interface Database {
  migrate(component: string, migrations: readonly Migration[]): void;
  run(sql: string, ...parameters: SqlValue[]): { readonly changes: number };
  all(sql: string, ...parameters: SqlValue[]): Record<string, unknown>[];
  get(sql: string, ...parameters: SqlValue[]): Record<string, unknown> | undefined;
  /** BEGIN IMMEDIATE … COMMIT; nests by joining the outer one. */
  transaction<T>(action: () => T): T;
  /**
   * Commits of `action` do not wait for the disk. A crash of this program takes nothing back; a power loss within the next moments (a
   * background write-out follows after `writeOutMs`, and every other commit brings it forward) may, newest first, whole commits only. For
   * what a power loss makes untrue anyway.
   */
  relaxed<T>(action: () => T): T;
  /**
   * The object that a row holds as JSON, with these members at least. SQLite notices damaged pages, and no damaged text in them.
   * @param row Names it for whoever reads the error: "container x".
   * @throws data-loss that names the file and a way out
   */
  readObject(row: string, text: unknown, members: readonly string[]): Readonly<Record<string, unknown>>;
  /** Reads every page again, in another process where there is one for it. @throws data-loss that names the file and a way out, unavailable when it cannot be found out */
  check(): Promise<void>;
  close(): void;
}

export type SqlValue = string | number | bigint | null | Uint8Array;
