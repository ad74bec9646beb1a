/**
 * What a container runs, in the Engine API's words (API reference, ContainerConfig). Types here are complete: every field that the
 * API always prints is present, with Go's zero value where a client did not send it; the parsers fill them in. Clients, which may
 * leave anything out, build the `…Body` types instead.
 */

export interface HealthConfig {
  /** Empty: inherit. ["NONE"], ["CMD", …arguments] or ["CMD-SHELL", command]. */
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
  /** Only from clients below API 1.44; the parser moves it into the endpoint's settings and prints it no more. */
  readonly MacAddress?: string;
}

/** All zero values: the base that parsers and tests fill in. */
export const emptyContainerConfig: ContainerConfig = Object.freeze({
  Hostname: "",
  Domainname: "",
  User: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: null,
  Cmd: null,
  Image: "",
  Volumes: null,
  WorkingDir: "",
  Entrypoint: null,
  Labels: null,
});
