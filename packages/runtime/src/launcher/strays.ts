/**
 * Stems that nobody will launch: their daemon was killed while their supervisor was stopped (by a signal or a debugger), so the supervisor did
 * not notice the daemon's end. Each supervisor has a mark from its beginning, made from the state directory of its daemon, and only one daemon
 * uses a state directory at a time.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { SIGKILL, type Sys } from "@fathom/sys";
import type { ProcessIdentity } from "../contract.ts";
import {
  conditionOf,
  identify,
  identifyChildren,
  isDead,
  parentOf,
  signalExactly,
} from "../supervisor/process-facts.ts";
import { pause } from "../connection/waits.ts";

type StraysSys = Pick<Sys, "pidfdOpen" | "pidfdSendSignal" | "close">;

const markName = "FATHOM_STATE";
/** How the kernel shows a program that is a memory file: packages/sys/src/helper.ts. */
export const helperLink = "/memfd:fathom-init (deleted)";
/** The title of a supervisor before and after prepare; the small init of a container has another. */
const titles = /^fathom-init(?:: |\0 )/;
const endLimitMs = 1000;
/** How many processes are checked before the event loop has its turn. */
const atOnce = 256;

/**
 * In the environment of a supervisor. A container may see it, but learns nothing from it: it is a hash of the directory's device and inode. So
 * a daemon in another mount namespace, with a directory of the same name, has another mark.
 */
export function markOf(stateDirectory: string): string {
  const { dev, ino } = statSync(stateDirectory, { bigint: true });
  const hash = createHash("sha256").update(`fathom state ${dev}:${ino}`).digest("hex");
  return `${markName}=${hash.slice(0, 32)}`;
}

/**
 * Ends every supervisor with this mark that is not this process's child and was never asked to launch, and its stem. The caller is the only
 * daemon with the mark. Never rejects.
 * @returns the processes that were ended
 */
export async function endStrays(sys: StraysSys, mark: string): Promise<readonly ProcessIdentity[]> {
  const ended: ProcessIdentity[] = [];
  const dying: ProcessIdentity[] = [];
  let looked = 0;
  for (const name of processes()) {
    if (++looked % atOnce === 0) await pause(0);
    const stray = strayOf(Number(name), mark);
    // A stem whose supervisor was ended here a moment ago does not count separately.
    if (stray === undefined || dying.some(({ pid }) => pid === stray.pid)) continue;
    // A stem that was stopped before it asked to be killed with its parent does not end with it.
    const children = identifyChildren(stray.pid);
    for (const one of [stray, ...children]) if (sent(sys, one)) dying.push(one);
    ended.push(stray);
  }
  for (let waitedMs = 0; waitedMs < endLimitMs && dying.some((one) => !isDead(conditionOf(one))); waitedMs += 5)
    await pause(5);
  return ended;
}

function sent(sys: StraysSys, process: ProcessIdentity): boolean {
  try {
    return signalExactly(sys, process, SIGKILL) === "sent";
  } catch {
    return false;
  }
}

function processes(): readonly string[] {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

/** Everything must be confirmed: a process that cannot be examined is left alone. */
function strayOf(pid: number, mark: string): ProcessIdentity | undefined {
  try {
    if (readlinkSync(`/proc/${pid}/exe`) !== helperLink || !titles.test(readFileSync(`/proc/${pid}/cmdline`, "latin1")))
      return undefined;
    // Its start time is read first, so that the signal never goes to another process with its number.
    const identity = identify(pid);
    if (identity === undefined || !isMarked(pid, mark)) return undefined;
    const parent = parentOf(pid);
    if (parent === undefined) return undefined;
    // It is a child of this daemon, or the stem of a supervisor, which handles it.
    if (parent === process.pid || (parent > 1 && isHelper(parent) && isMarked(parent, mark))) return undefined;
    return wasAsked(pid) ? undefined : identity;
  } catch {
    return undefined;
  }
}

function isHelper(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`) === helperLink;
  } catch {
    return false;
  }
}

function isMarked(pid: number, mark: string): boolean {
  return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(mark);
}

/** A launch passes the directory of its run, which the supervisor keeps open. */
function wasAsked(pid: number): boolean {
  return readdirSync(`/proc/${pid}/fd`).some((fd) => statSync(`/proc/${pid}/fd/${fd}`).isDirectory());
}
