/** The database's file, when it is not open. */
import { closeSync, constants, existsSync, fchmodSync, openSync, renameSync } from "node:fs";
import type { Logger } from "@fathom/base";

/**
 * Renames a database with its log; the next one begins empty.
 * @throws conflict when a file cannot be moved
 */
export function setDatabaseAside(path: string, logger: Logger): void {
  if (!existsSync(path)) return;
  const aside = `${path}.damaged-${new Date().toISOString().replaceAll(":", "")}`;
  for (const suffix of ["-wal", ""]) if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
  logger.warn("the database is made again; the old one is kept", { path, before: aside });
}

/** SQLite would make the file readable for everybody. Its log and index get the mode of the file. */
export function makePrivate(path: string): void {
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    fchmodSync(file, 0o600);
  } finally {
    closeSync(file);
  }
}
