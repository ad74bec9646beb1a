/** The words for an operation that failed, in runc's form, which Docker, containerd and Podman know. */
import { errnoNumber, errnoText } from "@fathom/sys";
import { describeOperation } from "../plan/describe-operation.ts";
import type { Operation } from "../plan/plan.ts";

const ENOENT = errnoNumber("ENOENT");
const EACCES = errnoNumber("EACCES");
const ENOTDIR = errnoNumber("ENOTDIR");
const EISDIR = errnoNumber("EISDIR");
const ETIMEDOUT = errnoNumber("ETIMEDOUT");

export interface FailedCall {
  readonly errno: number;
  readonly call: string;
  readonly detail: string;
}

/** An errno as Go writes it: strerror in lower case. */
export function errorText(errno: number): string {
  const text = errnoText(errno);
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

function programWords(operation: Extract<Operation, { kind: "exec" | "find-program" }>, failure: FailedCall): string {
  const name = operation.argv[0] ?? "";
  if (failure.call === "execve") return `exec ${failure.detail || name}: ${errorText(failure.errno)}`;
  const quoted = `exec: ${JSON.stringify(name)}`;
  if (!name.includes("/")) return `${quoted}: executable file not found in $PATH`;
  switch (failure.errno) {
    case EISDIR:
      return `${quoted}: is a directory: permission denied`;
    case EACCES:
      return failure.call === "stat" ? `${quoted}: stat ${name}: permission denied` : `${quoted}: permission denied`;
    case ENOENT:
    case ENOTDIR:
      return `${quoted}: stat ${name}: ${errorText(failure.errno)}`;
    default:
      return `${quoted}: ${errorText(failure.errno)}`;
  }
}

/** Why an operation of a plan failed. */
export function operationWords(operation: Operation, failure: FailedCall): string {
  const reason = errorText(failure.errno);
  const more = failure.detail === "" ? "" : ` (${failure.detail})`;
  switch (operation.kind) {
    case "find-program":
    case "exec":
      return programWords(operation, failure);
    case "working-directory":
      return `chdir to cwd (${JSON.stringify(operation.path)}) set in config.json failed: ${reason}`;
    case "make-directory":
      return `mkdir ${operation.path}: ${reason}`;
    case "mount":
    case "bind": {
      const hint =
        failure.errno === ENOTDIR
          ? ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type"
          : failure.errno === ETIMEDOUT && failure.call === "fsopen"
            ? ": a process of the container whose pid namespace is joined stops each new process there: end it, or that container"
            : "";
      return `error mounting ${JSON.stringify(operation.source)} to rootfs at ${JSON.stringify(operation.target)}: ${failure.call}${more}: ${reason}${hint}`;
    }
    default:
      return `${describeOperation(operation)}: ${failure.call}${more}: ${reason}`;
  }
}
