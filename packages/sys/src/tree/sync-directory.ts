/** Makes the entries of a directory durable. */
import { closeSync, constants, fsyncSync, openSync } from "node:fs";

export function syncDirectory(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
