/** SQLite's write-ahead log as a file that has its disk space in advance. */
import { closeSync, fstatSync, openSync, statfsSync, writeSync } from "node:fs";
import { open as openFile } from "node:fs/promises";

/** A page in the log, with its header. */
const pageBytes = 4096 + 24;
/** After this many pages, the log is copied into the database. */
const checkpointPages = 500;
/** Size of the log: twice that, with headers. The second half is for commits on a full disk, when the database cannot grow. */
const logBytes = 2 * checkpointPages * pageBytes + 65536;

/**
 * Gives the log its full size at once, filled with zeros. Zeros are no valid frames and end the log as the end of the file would. A commit then
 * overwrites blocks and appends none, so its fsync does not wait for changes of the file system itself: a fifth of the time. On a small disk,
 * the log uses a small part of the disk. Returns its size.
 */
function growLog(path: string): number {
  const log = `${path}-wal`;
  const fd = openSync(log, "r+");
  try {
    const { size } = fstatSync(fd);
    const { bavail, bsize } = statfsSync(path);
    const more = Math.min(logBytes - size, Math.floor((bavail * bsize) / 16));
    if (more <= 0) return size;
    writeSync(fd, new Uint8Array(more), 0, more, size);
    syncFile(log).catch(() => undefined);
    return fstatSync(fd).size;
  } finally {
    closeSync(fd);
  }
}

export async function syncFile(path: string): Promise<void> {
  await using file = await openFile(path, "r");
  await file.datasync();
}

/**
 * If there is space, the log grows to its full size. Half of it may be in use when the disk becomes full: the result is the number of pages
 * after which it is copied into the database.
 * @throws when the disk is full already
 */
export function makeRoomForLog(path: string): number {
  const pages = Math.floor(growLog(path) / pageBytes / 2);
  return Math.max(8, Math.min(checkpointPages, pages));
}
