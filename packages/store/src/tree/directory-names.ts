/**
 * The names in a directory, in byte order. A container decides how many there are, so they are read and sorted in small turns with the other
 * work of the thread.
 */
import type { Sys } from "@fathom/sys";

/** How many names are read or sorted at a time: some milliseconds. */
const namesPerTurn = 5_000;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export async function sortedNames(sys: Pick<Sys, "readDirectoryParts">, dirFd: number): Promise<Uint8Array[]> {
  const runs: Uint8Array[][] = [];
  let run: Uint8Array[] = [];
  const close = (): void => void runs.push(run.sort(Buffer.compare));
  for (const part of sys.readDirectoryParts(dirFd)) {
    for (const { name } of part) run.push(name);
    if (run.length < namesPerTurn) continue;
    close();
    run = [];
    await turn();
  }
  close();
  return mergeRuns(runs);
}

/** Merges two by two, until one list is left. */
async function mergeRuns(runs: Uint8Array[][]): Promise<Uint8Array[]> {
  let current = runs;
  while (current.length > 1) {
    const next: Uint8Array[][] = [];
    for (let at = 0; at < current.length; at += 2)
      next.push(at + 1 < current.length ? await merge(current[at]!, current[at + 1]!) : current[at]!);
    current = next;
  }
  return current[0] ?? [];
}

async function merge(left: readonly Uint8Array[], right: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const merged: Uint8Array[] = [];
  for (let l = 0, r = 0; l < left.length || r < right.length;) {
    const fromLeft = r >= right.length || (l < left.length && Buffer.compare(left[l]!, right[r]!) <= 0);
    merged.push(fromLeft ? left[l++]! : right[r++]!);
    if (merged.length % (4 * namesPerTurn) === 0) await turn();
  }
  return merged;
}
