/**
 * Compresses the rotated files of a log. The writer may rotate at any moment and then gives each file the next number, so a file is known by its
 * inode: the packed file first gets its place beside the original, and then the original goes.
 */
import { createReadStream, createWriteStream, linkSync, renameSync, rmSync, statSync, unlinkSync } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { isErrno } from "@fathom/base";
import { rememberOriginal, logFiles, openNamed, type NamedLog } from "../rotated-files.ts";

/** The writer rotates between two calls of ours; that it does so many times in a row is impossible. */
const maxTries = 20;

/** @param may Whether nobody needs the file as it is. Files after the first that may not be packed stay too. */
export async function compressRotated(
  log: string,
  may: (file: NamedLog) => boolean,
  signal: AbortSignal,
): Promise<void> {
  for (const file of logFiles(log)) {
    if (file.compressed) continue;
    if (file.number === 0 || signal.aborted || !may(file)) return;
    await compressOne(log, file, signal);
  }
}

async function compressOne(log: string, file: NamedLog, signal: AbortSignal): Promise<void> {
  const part = `${log}.packing`;
  using opened = openNamed(log, file);
  // A rotation has removed it.
  if (opened === undefined) return;
  try {
    // The descriptor stays open here; the stream reads it from its beginning, whatever the file's name is by now.
    await pipeline(
      createReadStream(`/proc/self/fd/${opened.fd}`),
      createGzip(),
      createWriteStream(part, { flags: "w", mode: 0o640 }),
      { signal },
    );
    await flush(part);
    rememberOriginal(statSync(part).ino, file.inode);
    placeBeside(log, file.inode, part);
  } finally {
    rmSync(part, { force: true });
  }
}

/** A power cut after the original's removal must not find an empty packed file. */
async function flush(path: string): Promise<void> {
  await using file = await open(path, "r");
  await file.sync();
}

/** Gives the packed file the original's number, and removes the original. */
function placeBeside(log: string, inode: number, part: string): void {
  const packedInode = statSync(part).ino;
  let packedPath: string | undefined = part;
  for (let tries = 0; tries < maxTries; tries++) {
    const number = numberOf(log, "", inode);
    if (packedPath !== part) packedPath = pathOf(log, packedInode);
    // A rotation has removed the original as the oldest file: its records are not wanted any more.
    if (number === undefined || packedPath === undefined) {
      if (packedPath !== undefined && number === undefined) rmSync(packedPath, { force: true });
      return;
    }
    const wanted = `${log}.${number}.gz`;
    if (packedPath !== wanted) renameSync(packedPath, wanted);
    packedPath = wanted;
    if (numberOf(log, "", inode) === number && remove(log, number, inode)) return;
  }
}

function numberOf(log: string, suffix: "" | ".gz", inode: number): number | undefined {
  for (const { number } of logFiles(log))
    for (const now of [number, number + 1])
      if (now > 0 && statSync(`${log}.${now}${suffix}`, { throwIfNoEntry: false })?.ino === inode) return now;
  return undefined;
}

function pathOf(log: string, packedInode: number): string | undefined {
  const number = numberOf(log, ".gz", packedInode);
  return number === undefined ? undefined : `${log}.${number}.gz`;
}

/** False when a rotation was faster: then another file has this number, and it is put back. */
function remove(log: string, number: number, inode: number): boolean {
  const aside = `${log}.packed`;
  try {
    renameSync(`${log}.${number}`, aside);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
  const right = statSync(aside).ino === inode;
  for (let back = number; !right && back < number + maxTries; back++)
    try {
      linkSync(aside, `${log}.${back}`);
      break;
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
  unlinkSync(aside);
  return right;
}
