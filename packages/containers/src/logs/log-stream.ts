/**
 * A container's log as clients read it: records of the json-file, chosen by stream, time and number, formatted and framed. It can follow the
 * log while the container runs.
 */
import { Turns } from "@fathom/base";
import { ChosenRecords, type LogDamage, type LogSelection } from "./chosen-records.ts";
import { chunkBytes } from "./log-file.ts";
import { LogWalk } from "./log-walk.ts";

export type { LogDamage, LogSelection } from "./chosen-records.ts";

/** What following needs to know about the writer. */
export interface LogFollower {
  /** Resolves when the file or its directory changed, the writer ended, or `signal` aborted. */
  changed(signal: AbortSignal): Promise<void>;
  /** True while the writer may write more. */
  alive(): boolean;
}

/** Bytes that are collected before they are passed on. */
const batchBytes = 32 * 1024;

/**
 * The log's records from the first to the last wanted one, for a log of any size: the work is done in small turns, and memory is limited.
 * Damaged bytes are skipped; a line of stderr that begins with "fathom: " reports them, and `damaged` gets their sum.
 */
export async function* streamLog(
  path: string,
  selection: LogSelection,
  follower: LogFollower | undefined,
  signal: AbortSignal,
  damaged?: (damage: LogDamage) => void,
): AsyncGenerator<Uint8Array> {
  const turns = new Turns(signal);
  const chosen = new ChosenRecords(selection);
  const walk = new LogWalk(path, selection, follower !== undefined, turns, chosen);
  try {
    // The first part also waits for its turn, because many clients may come at once.
    await turns.end();
    await walk.open();
    for (;;) {
      // Asked before reading: bytes that are written after the last read and before the end must not be lost.
      const alive = follower?.alive() ?? false;
      for (let batch = await nextBatch(); batch !== undefined; batch = await nextBatch()) {
        if (signal.aborted) return;
        yield batch;
      }
      if (signal.aborted) return;
      if (!alive || follower === undefined || walk.finished) break;
      await follower.changed(signal);
    }
    const parts: Buffer[] = [];
    for (const entry of await walk.rest()) chosen.take(entry, walk.place, parts);
    chosen.end(parts);
    const last = Buffer.concat(parts);
    if (last.length > 0 && !signal.aborted) yield last;
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    walk.close();
    if (chosen.damage !== undefined) damaged?.(chosen.damage);
  }

  /** Formatted bytes; undefined when everything that is written now was returned, or `signal` aborted. */
  async function nextBatch(): Promise<Uint8Array | undefined> {
    const parts: Buffer[] = [];
    let size = 0;
    while (size < batchBytes && !walk.finished && !signal.aborted) {
      const entries = await walk.next();
      if (entries === undefined) break;
      const { place } = walk;
      for (const entry of entries) {
        const before = parts.length;
        chosen.take(entry, place, parts);
        for (let i = before; i < parts.length; i++) size += parts[i]!.length;
      }
      await turns.after(chunkBytes);
    }
    return parts.length === 0 ? undefined : Buffer.concat(parts);
  }
}
