/**
 * A further process in a running container, in no terms of Docker. What it may do is decided by the owner of the container's extension, as for the first process
 * (`ContainerTranslation.execProcess` in contract.ts).
 */
export interface ExecSpec {
  /** The program and its arguments; at least one. */
  readonly command: readonly string[];
  /** "NAME=value" is set or replaces one of the container's own; a bare "NAME" takes it away. */
  readonly environment: readonly string[];
  /** Name or number of a user, with or without ":group"; "" for the container's own. */
  readonly user: string;
  /** "" for the container's own. */
  readonly workingDirectory: string;
  readonly terminal: boolean;
  /** Rows and columns of the terminal at first. */
  readonly consoleSize: readonly [number, number] | undefined;
  /** What a client that starts it is connected to. */
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** With all capabilities, whatever the container's own are. */
  readonly privileged: boolean;
  /** undefined where the client has chosen none. */
  readonly detachKeys: Uint8Array | undefined;
}
