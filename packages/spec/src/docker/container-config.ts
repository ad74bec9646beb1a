/**
 * The configuration of a container, in the Engine API's words (API reference, ContainerConfig). These types are complete: every field that the
 * API always prints is present. Where a client did not send a field, the parsers fill in Go's zero value. Clients may leave out any field; they
 * build the `…Body` types instead.
 */

export interface HealthConfig {
  /** Empty means: the image's. ["NONE"], ["CMD", …arguments] or ["CMD-SHELL", command]. */
  readonly Test?: readonly string[] | null;
  /** Nanoseconds; 0 is the default. */
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

export type StringMap = Readonly<Record<string, string>>;
/** A set as Go encodes it: {"80/tcp": {}}. */
export type KeySet = Readonly<Record<string, object>>;

export interface ContainerConfig {
  readonly Hostname: string;
  readonly Domainname: string;
  readonly User: string;
  readonly AttachStdin: boolean;
  readonly AttachStdout: boolean;
  readonly AttachStderr: boolean;
  readonly ExposedPorts?: KeySet | null;
  readonly Tty: boolean;
  readonly OpenStdin: boolean;
  readonly StdinOnce: boolean;
  readonly Env: readonly string[] | null;
  readonly Cmd: readonly string[] | null;
  readonly Healthcheck?: HealthConfig | null;
  readonly ArgsEscaped?: boolean;
  readonly Image: string;
  readonly Volumes: KeySet | null;
  readonly WorkingDir: string;
  readonly Entrypoint: readonly string[] | null;
  readonly NetworkDisabled?: boolean;
  readonly OnBuild?: readonly string[] | null;
  readonly Labels: StringMap | null;
  readonly StopSignal?: string;
  /** Seconds. */
  readonly StopTimeout?: number | null;
  readonly Shell?: readonly string[] | null;
  /** Only clients below API 1.44 send this. The parser moves it into the endpoint's settings, and the API no longer prints it. */
  readonly MacAddress?: string;
}
