/**
 * Decides when a container that ended is started again; a pure function. The delay doubles from 100 ms to one minute; after a run of ten
 * seconds or more it is 100 ms again.
 */

export interface RestartPolicy {
  readonly kind: "no" | "always" | "on-failure" | "unless-stopped";
  /** For "on-failure"; 0 means no limit. */
  readonly maximumRetryCount: number;
}

export const firstDelayMs = 100;
export const longestDelayMs = 60_000;
const longRunMs = 10_000;

export interface EndedRun {
  readonly policy: RestartPolicy;
  readonly exitCode: number;
  /** Restarts since the user's last start. */
  readonly restartCount: number;
  /** The user ended it with a stop, kill or removal. */
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
 * What a starting daemon does with a container whose end the previous daemon handled. As in Docker: "always" restarts even after a stop by the
 * user; "unless-stopped" does not; "on-failure" restarts when the last run failed and the limit is not reached.
 */
export function restartsWithDaemon(
  run: Pick<EndedRun, "policy" | "stoppedByUser" | "exitCode" | "restartCount">,
): boolean {
  return run.policy.kind === "always" || (!run.stoppedByUser && wantsRestart(run));
}
