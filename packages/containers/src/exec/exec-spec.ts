/**
 * An additional process in a running container, without any term of Docker. As for the first process, the owner of the container's extension
 * decides what it may do (`ContainerTranslation.execProcess` in contract.ts).
 */
export interface ExecSpec {
  /** The program and its arguments; at least one. */
  readonly command: readonly string[];
  /** "NAME=value" adds a variable or replaces one of the container's own; "NAME" alone removes it. */
  readonly environment: readonly string[];
  /** Name or number of a user, with or without ":group"; "" for the container's own. */
  readonly user: string;
  /** "" for the container's own directory. */
  readonly workingDirectory: string;
  readonly terminal: boolean;
  /** First rows and columns of the terminal. */
  readonly consoleSize: readonly [number, number] | undefined;
  /** The streams to which a client that starts it is connected. */
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** With all capabilities, whatever the container's own are. */
  readonly privileged: boolean;
  /** undefined when the client has chosen none. */
  readonly detachKeys: Uint8Array | undefined;
}

/** An exec with the user, environment and directory of the container's first process, with output and without input. Health checks use it. */
export function plainExec(command: readonly string[]): ExecSpec {
  return {
    command,
    environment: [],
    user: "",
    workingDirectory: "",
    terminal: false,
    consoleSize: undefined,
    stdin: false,
    stdout: true,
    stderr: true,
    privileged: false,
    detachKeys: undefined,
  };
}
