/** A supervisor that is stopped (by a signal or a debugger) while its container ends, or afterwards: it is resumed, or killed. */
import { SIGCONT, SIGKILL, type Sys } from "@fathom/sys";
import type { RunIdentity } from "../contract.ts";
import { conditionIn, signalExactly } from "./process-facts.ts";
import { pause } from "../connection/waits.ts";

type SignalSys = Pick<Sys, "pidfdOpen" | "pidfdSendSignal" | "close">;

/** How long a resumed supervisor may take to send an end that the kernel already knows. */
export const finishPatienceMs = 2000;
/** The first and the longest time between two checks whether the supervisor of an ended container is stopped. */
const firstFollowMs = 250;
const longestFollowMs = 5000;

/**
 * The container is ending and waits for its other processes. Those of execs are children of the supervisor, which is stopped and so does not
 * read their status. Only the end is left to come, so the supervisor is resumed; if it stays stopped (a debugger holds it), it is killed.
 */
export async function resume(sys: SignalSys, run: RunIdentity, enough: () => boolean): Promise<void> {
  signalExactly(sys, run.supervisor, SIGCONT);
  for (let waitedMs = 0; waitedMs < finishPatienceMs; waitedMs += 20) {
    await pause(20);
    if (enough() || conditionIn(run, "supervisor").kind !== "stopped") return;
  }
  signalExactly(sys, run.supervisor, SIGKILL);
}

/**
 * After the end, its supervisor sends the rest of the output to every client, as slowly as the client reads, and then ends by itself. If it is
 * stopped before that, clients would wait for ever, so it is resumed.
 */
export async function followToItsEnd(sys: SignalSys, run: RunIdentity): Promise<void> {
  for (let delayMs = firstFollowMs; ; delayMs = Math.min(delayMs * 2, longestFollowMs)) {
    await pause(delayMs);
    const { kind } = conditionIn(run, "supervisor");
    if (kind === "gone" || kind === "ended" || kind === "unknown") return;
    if (kind === "stopped") await resume(sys, run, () => false);
  }
}
