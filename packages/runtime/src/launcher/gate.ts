/**
 * The gate of a created process that has no supervisor: a FIFO in the directory of its run. The process has it open for reading and writing and
 * waits until a byte arrives. It closes the gate when it continues; so while a gate can be opened for writing, a process waits there.
 */
import { closeSync, constants, existsSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { EngineError, isErrno } from "@fathom/base";
import { AT_FDCWD, O_CLOEXEC, O_RDWR, type Sys } from "@fathom/sys";

export type GateSys = Pick<Sys, "mknodat" | "open" | "close">;

const gateName = "start";
const fifoMode = 0o010600;

/** Makes the gate. The caller closes its descriptor after the launch. */
export function makeGate(sys: GateSys, directory: string): number {
  const path = join(directory, gateName);
  removeGate(directory);
  sys.mknodat(AT_FDCWD, path, fifoMode, 0, 0);
  return sys.open(path, O_RDWR | O_CLOEXEC);
}

export function removeGate(directory: string): void {
  rmSync(join(directory, gateName), { force: true });
}

/** Whether a created process of this directory was not started yet. Only for one that has not ended. */
export function createdWaits(directory: string): boolean {
  return existsSync(join(directory, gateName));
}

/**
 * Lets the created process of a direct launch continue. Any process may call it.
 * @throws conflict when no process waits: it was started before, or has ended
 */
export function startCreated(directory: string): void {
  let gate: number;
  try {
    gate = openSync(join(directory, gateName), constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (!isErrno(error, "ENXIO", "ENOENT")) throw error;
    throw new EngineError("conflict", "no created process waits for its start", { cause: error });
  }
  try {
    // First, so that the next start finds nobody.
    removeGate(directory);
    writeSync(gate, "s");
  } finally {
    closeSync(gate);
  }
}
