/** What every command of one call uses. */
import { join } from "node:path";
import { createLauncher, openCgroups, type Cgroups, type Launcher } from "@fathom/runtime";
import { createSys, helperExecutable, type Sys } from "@fathom/sys";
import type { CallLog } from "./log.ts";
import { readRecord, type ContainerRecord } from "./state/record.ts";
import { checkId, lockDirectory } from "./state/directory.ts";
import { missing } from "./words.ts";

export interface Call {
  readonly root: string;
  readonly log: CallLog;
  readonly sys: Sys;
  readonly cgroups: Cgroups;
  readonly launcher: Launcher;
}

export interface Found {
  readonly id: string;
  readonly directory: string;
  readonly state: ContainerRecord;
}

/** Each part is made when a command first uses it. */
export function openCall(root: string, log: CallLog): Call {
  let sys: Sys | undefined;
  let cgroups: Cgroups | undefined;
  let launcher: Launcher | undefined;
  return {
    root,
    log,
    get sys() {
      return (sys ??= createSys());
    },
    get cgroups() {
      return (cgroups ??= openCgroups(this.sys));
    },
    get launcher() {
      const own = this.sys;
      return (launcher ??= createLauncher({ sys: own, executable: () => helperExecutable(own) }));
    },
  };
}

/** @throws not-found */
export function findContainer(call: Pick<Call, "root">, given: string | undefined): Found {
  const id = checkId(given);
  const directory = join(call.root, id);
  const state = readRecord(directory);
  if (state === undefined) throw missing();
  return { id, directory, state };
}

/** The same with its lock: no other call changes it until the result is disposed of. @throws not-found */
export async function lockContainer(call: Call, given: string | undefined): Promise<Found & Disposable> {
  const id = checkId(given);
  const lock = await lockDirectory(call.sys, join(call.root, id));
  try {
    return { ...findContainer(call, id), [Symbol.dispose]: () => lock[Symbol.dispose]() };
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}
