/** A supervisor that stands still (stopped by a signal or a debugger) while its container ends or after it has: it is made to go on, or goes. */
import type { Sys } from "@fathom/sys";
import type { RunIdentity } from "../contract.ts";
import { conditionIn, signalExactly } from "./process-facts.ts";
import { pause } from "./waits.ts";

type SignalSys = Pick<Sys, "pidfdOpen" | "pidfdSendSignal" | "close">;

/** How long a supervisor that was made to go on may take to tell an end that the kernel knows already. */
export const finishPatienceMs = 2000;
/** How soon, and how often at least, it is looked whether a supervisor whose container has ended stands still. */
const firstFollowMs = 250;
const longestFollowMs = 5000;
const SIGKILL = 9;
const SIGCONT = 18;

/**
 * The container is ending, and waits for its other processes: those of execs are children of the supervisor, which stands still and so does not ask for
 * their statuses. Nothing but the end is left to come: the supervisor is made to go on, and where it does not (a debugger has it), it goes.
 */
export async function letGoOn(sys: SignalSys, run: RunIdentity, enough: () => boolean): Promise<void> {
  signalExactly(sys, run.supervisor, SIGCONT);
  for (let waitedMs = 0; waitedMs < finishPatienceMs; waitedMs += 20) {
    await pause(20);
    if (enough() || conditionIn(run, "supervisor").kind !== "stopped") return;
  }
  signalExactly(sys, run.supervisor, SIGKILL);
}

/**
 * After the end its supervisor gives every client the rest of the output, which takes as long as the client reads, and ends by itself. One that stands
 * still on the way would hold them for ever: it is made to go on.
 */
export async function followToItsEnd(sys: SignalSys, run: RunIdentity): Promise<void> {
  for (let delayMs = firstFollowMs; ; delayMs = Math.min(delayMs * 2, longestFollowMs)) {
    await pause(delayMs);
    const { kind } = conditionIn(run, "supervisor");
    if (kind === "gone" || kind === "ended" || kind === "unknown") return;
    if (kind === "stopped") await letGoOn(sys, run, () => false);
  }
}
