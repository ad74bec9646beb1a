/** A command that says whether a container is healthy: exit code 0 means healthy. */
export interface HealthCheck {
  readonly command: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Failures in this time do not count. */
  readonly startPeriodMs: number;
  /** Replaces the interval in the start period, until the first success. */
  readonly startIntervalMs: number;
  /** This many failures in a row make the container unhealthy. */
  readonly retries: number;
}

/** Results of the checks of the present run, or of the last one. */
export interface Health {
  readonly status: "starting" | "healthy" | "unhealthy";
  /** Failures in a row. */
  readonly failingStreak: number;
  /** The last results, the oldest first. */
  readonly results: readonly HealthResult[];
}

export interface HealthResult {
  /** RFC3339Nano. */
  readonly startedAt: string;
  readonly endedAt: string;
  /** -1 when the command did not run to its end. */
  readonly exitCode: number;
  readonly output: string;
}
