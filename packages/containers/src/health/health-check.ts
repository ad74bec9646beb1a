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
