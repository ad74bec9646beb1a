/** A command that says whether a container is healthy: 0 is. */
export interface HealthCheck {
  readonly command: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Failures in it do not count. */
  readonly startPeriodMs: number;
  /** Instead of the interval, in the start period until the first success. */
  readonly startIntervalMs: number;
  /** Failures in a row until it is unhealthy. */
  readonly retries: number;
}

/** What the checks of the present run, or of the last one, have said. */
export interface Health {
  readonly status: "starting" | "healthy" | "unhealthy";
  /** Failures in a row. */
  readonly failingStreak: number;
  /** The last ones, the oldest first. */
  readonly results: readonly HealthResult[];
}

export interface HealthResult {
  /** RFC3339Nano. */
  readonly startedAt: string;
  readonly endedAt: string;
  /** -1 where the command could not be run to its end. */
  readonly exitCode: number;
  readonly output: string;
}
