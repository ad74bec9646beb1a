/**
 * When a container that ended is started again, as a pure decision. The waiting time doubles from 100 ms to one minute and
 * falls back to 100 ms after a run of ten seconds or more.
 */

export interface RestartPolicy {
  readonly kind: "no" | "always" | "on-failure" | "unless-stopped";
  /** Of "on-failure"; 0 for no limit. */
  readonly maximumRetryCount: number;
}

export const firstDelayMs = 100;
export const longestDelayMs = 60_000;
const longRunMs = 10_000;

export interface EndedRun {
  readonly policy: RestartPolicy;
  readonly exitCode: number;
  /** Restarts so far since the user's last start. */
  readonly restartCount: number;
  /** A stop, kill or remove by the user ended it. */
  readonly stoppedByUser: boolean;
  /** How long this run lasted. */
  readonly ranForMs: number;
  /** Delay before this run; 0 when the user started it. */
  readonly previousDelayMs: number;
}

export type RestartDecision = { readonly kind: "stay" } | { readonly kind: "restart"; readonly delayMs: number };

export function decideRestart(run: EndedRun): RestartDecision {
  if (run.stoppedByUser || !wantsRestart(run)) return { kind: "stay" };
  const fresh = run.previousDelayMs === 0 || run.ranForMs >= longRunMs;
  return { kind: "restart", delayMs: fresh ? firstDelayMs : Math.min(run.previousDelayMs * 2, longestDelayMs) };
}

function wantsRestart(run: Pick<EndedRun, "policy" | "exitCode" | "restartCount">): boolean {
  switch (run.policy.kind) {
    case "always":
    case "unless-stopped":
      return true;
    case "on-failure":
      if (run.exitCode === 0) return false;
      return run.policy.maximumRetryCount === 0 || run.restartCount < run.policy.maximumRetryCount;
    case "no":
      return false;
  }
}

/**
 * What a starting daemon does with a container whose end was handled by the one before. "always" comes back even after a stop by the
 * user, as in Docker; "unless-stopped" does not; "on-failure" comes back when its last run failed and it has not given up.
 */
export function restartsWithDaemon(
  run: Pick<EndedRun, "policy" | "stoppedByUser" | "exitCode" | "restartCount">,
): boolean {
  return run.policy.kind === "always" || (!run.stoppedByUser && wantsRestart(run));
}
