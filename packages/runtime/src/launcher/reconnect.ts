/** Runs of earlier daemons: found again by their directory, or treated as running without a check. */
import { messageOf } from "@fathom/base";
import type { KnownRun, Launcher, Supervisor } from "../contract.ts";
import { SupervisorClient, type SupervisorSys } from "../supervisor/client.ts";
import type { SupervisorConnection } from "../connection/connection.ts";
import { readExitFile } from "../supervisor/exit-status.ts";
import {
  conditionIn,
  conditionOf,
  identify,
  identifyByProcess,
  identifyBySupervisor,
  identifyChildren,
  identifyRun,
  isDead,
  signalExactly,
} from "../supervisor/process-facts.ts";
import { messageTypes, phaseWaiting, readState, type SupervisorState } from "../connection/protocol.ts";
import { connectSupervisor, isNobodyThere } from "../connection/supervisor-socket.ts";
import { pause } from "../connection/waits.ts";
import { SIGKILL } from "@fathom/sys";

/** How long a starting daemon waits for a supervisor's state before it manages the container without it. */
const reconnectPatienceMs = 500;

export async function reconnect(
  sys: SupervisorSys,
  directory: string,
  known: KnownRun = { identity: undefined, pid: 0, startedAt: "" },
): Promise<Awaited<ReturnType<Launcher["reconnect"]>>> {
  let reason: string;
  let nobody = false;
  try {
    const found = await ask(sys, directory, known);
    if (found.kind === "running") return found;
    ({ reason, dead: nobody } = found);
  } catch (error) {
    nobody = isNobodyThere(error);
    reason = messageOf(error);
  }
  const run = known.identity ?? identifyByProcess(known.pid);
  try {
    const dead = run === undefined ? nobody : isDead(conditionIn(run, "supervisor"));
    const exit = await readExitFile(directory);
    if (exit !== undefined) return { kind: "exited", exit };
    if (dead) return { kind: "gone" };
  } catch (error) {
    reason = messageOf(error);
  }
  return { kind: "running", supervisor: assume(sys, directory, { ...known, identity: run }, reason) };
}

export function assume(sys: SupervisorSys, directory: string, known: KnownRun, reason: string): SupervisorClient {
  const run = known.identity ?? identifyByProcess(known.pid);
  const identity = {
    pid: run?.process.pid ?? known.pid,
    supervisorPid: run?.supervisor.pid ?? 0,
    startedAt: known.startedAt,
    run,
  };
  const supervisor = new SupervisorClient(sys, directory, identity, undefined);
  supervisor.follow(reason);
  return supervisor;
}

/** @throws SysError when no connection can be made */
async function ask(
  sys: SupervisorSys,
  directory: string,
  known: KnownRun,
): Promise<
  | { readonly kind: "running"; readonly supervisor: Supervisor }
  | { readonly kind: "ended"; readonly reason: string; readonly dead: boolean }
> {
  const { connection, peerPid } = connectSupervisor(sys, directory);
  const early: Parameters<SupervisorClient["receive"]>[0][] = [];
  connection.onMessage = (message) => void early.push(message);
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), reconnectPatienceMs);
  try {
    const state = await askState(connection, abort.signal);
    if (state.phase < phaseWaiting) {
      await endUnfinished(sys, state.supervisorPid);
      connection.close();
      return { kind: "ended", reason: "its launch was stopped", dead: true };
    }
    const { pid, supervisorPid, startedAt } = state;
    const run = known.identity ?? identifyRun(pid, supervisorPid);
    const supervisor = new SupervisorClient(sys, directory, { pid, supervisorPid, startedAt, run }, connection);
    for (const message of early) supervisor.receive(message);
    return { kind: "running", supervisor };
  } catch (error) {
    if (!connection.isOpen) return { kind: "ended", reason: messageOf(error), dead: false };
    // Connected, but it does not answer: the kernel says which process is on the other side.
    const run = known.identity ?? identifyBySupervisor(peerPid);
    const supervisor = new SupervisorClient(
      sys,
      directory,
      {
        pid: run?.process.pid ?? known.pid,
        supervisorPid: run?.supervisor.pid ?? peerPid,
        startedAt: known.startedAt,
        run,
      },
      undefined,
    );
    supervisor.followOver(connection, "it has not answered yet");
    for (const message of early) supervisor.receive(message);
    return { kind: "running", supervisor };
  } finally {
    clearTimeout(timer);
  }
}

const launchingPollMs = 5;
/** How many polls are between two checks whether the launch is stopped, and how many checks in a row must find it stopped. */
const pollsToLook = 10;
const stoppedLooks = 3;
const endLimitMs = 400;

/**
 * The state when it is past launching: a daemon may connect in the middle of a launch that another daemon began. When the state stays before
 * that, the process of the launch is stopped, by a signal or a debugger.
 */
async function askState(connection: SupervisorConnection, signal: AbortSignal): Promise<SupervisorState> {
  let stopped = 0;
  for (let poll = 1; ; poll++) {
    const state = readState(await connection.request(messageTypes.state, new Uint8Array(), [], { signal }));
    if (state.phase >= phaseWaiting || stopped === stoppedLooks) return state;
    if (poll % pollsToLook === 0) stopped = hasStoppedChild(state.supervisorPid) ? stopped + 1 : 0;
    await new Promise((resolve) => setTimeout(resolve, launchingPollMs));
    signal.throwIfAborted();
  }
}

function hasStoppedChild(supervisorPid: number): boolean {
  return identifyChildren(supervisorPid).some((child) => conditionOf(child).kind === "stopped");
}

/** Nobody waits for this launch any more, and it does not progress. */
async function endUnfinished(sys: SupervisorSys, supervisorPid: number): Promise<void> {
  const supervisor = identify(supervisorPid);
  if (supervisor === undefined) return;
  const all = [supervisor, ...identifyChildren(supervisorPid)];
  for (const one of all) signalExactly(sys, one, SIGKILL);
  for (let waitedMs = 0; waitedMs < endLimitMs && !all.every((one) => isDead(conditionOf(one))); waitedMs += 5)
    await pause(5);
}
