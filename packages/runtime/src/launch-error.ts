/** Failures of fathom-init in words: Docker's own where people and programs match on them. */
import { EngineError, type ErrorCode } from "@fathom/base";
import { errnoText } from "@fathom/sys";
import { describeOperation } from "./explain.ts";
import type { LaunchPlan, Operation } from "./plan.ts";
import { SupervisorFailure } from "./supervisor-protocol.ts";

const ENOENT = 2;
const EACCES = 13;
const ENOTDIR = 20;
const EISDIR = 21;
const EPERM = 1;
const E2BIG = 7;
const EBADF = 9;
const EINVAL = 22;
const EMFILE = 24;
const ERANGE = 34;
const ENAMETOOLONG = 36;
const ELOOP = 40;
const ETIMEDOUT = 110;
const ECANCELED = 125;
const EIO = 5;
const ENFILE = 23;
/** EPERM, ENXIO, EBUSY, EEXIST, EXDEV, ENODEV, EINVAL, ETXTBSY, EROFS, EOPNOTSUPP */
const pathErrors: ReadonlySet<number> = new Set([1, 6, 16, 17, 18, 19, 22, 26, 30, 95]);

const createPrefix =
  "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: " +
  "unable to start container process: error during container init: ";
const execPrefix = "OCI runtime exec failed: exec failed: unable to start container process: ";

/** An errno as Go words it: strerror without the capital. */
function errorText(errno: number): string {
  const text = errnoText(errno);
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

function execWords(operation: Extract<Operation, { kind: "exec" }>, failure: SupervisorFailure): string {
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

function operationWords(operation: Operation, failure: SupervisorFailure): string {
  const reason = errorText(failure.errno);
  const more = failure.detail === "" ? "" : ` (${failure.detail})`;
  switch (operation.kind) {
    case "exec":
      return execWords(operation, failure);
    case "working-directory":
      return `chdir to cwd (${JSON.stringify(operation.path)}) set in config.json failed: ${reason}`;
    case "make-directory":
      return failure.errno === ENOTDIR
        ? `Cannot mkdir: ${operation.path} is not a directory`
        : `mkdir ${operation.path}: ${reason}`;
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

/** 127 for what does not exist, 126 for what may not be executed or is of the wrong type, as Docker reads them from the words. */
function codeOf(operation: Operation | undefined, failure: SupervisorFailure): ErrorCode {
  if (operation?.kind === "make-directory" && failure.errno === ENOTDIR) return "invalid-argument";
  if (operation?.kind === "exec") {
    const notFound = failure.errno === ENOENT || !(operation.argv[0] ?? "").includes("/");
    if (isOfTheRequest(operation, failure)) return "invalid-argument";
    if (notFound && failure.call !== "execve") return "executable-not-found";
    // Whatever the kernel or the seccomp profile has against the program; not what the machine lacks.
    const ofMachine = failure.errno === EIO || failure.errno === ENFILE;
    return failure.call === "execve" && failure.errno !== ENOENT && !ofMachine
      ? "not-executable"
      : execCode(failure.errno);
  }
  if (failure.operation === undefined) return "internal";
  if (operation !== undefined && isOfTheRequest(operation, failure)) return "invalid-argument";
  return execCode(failure.errno);
}

/** A limit of the request (CPU time, memory), its seccomp profile, or somebody who ended the container meanwhile. */
function killedCode(action: "create" | "exec"): ErrorCode {
  return action === "create" ? "invalid-argument" : "conflict";
}

/** Operations whose values come from the request as they are: what the kernel does not take of them is a fault of the request. */
const carriesValues: ReadonlySet<Operation["kind"]> = new Set([
  "sysctl",
  "rlimit",
  "set-hostname",
  "set-domainname",
  "mount",
]);

/** Operations at a path that the request or the image names: what is there may be of the wrong kind, or may not be changed. */
const atPaths: ReadonlySet<Operation["kind"]> = new Set([
  "mount",
  "bind",
  "make-directory",
  "make-node",
  "make-symlink",
  "mask",
  "readonly-path",
  "working-directory",
]);

/** EMFILE, and EBADF of dup2: the container's own limit of descriptors is too small for what its first process needs. */
function isOfTheRequest(operation: Operation, { errno, call }: SupervisorFailure): boolean {
  if (errno === EBADF && call === "dup2") return true;
  if (errno === ENAMETOOLONG || errno === ELOOP || errno === EMFILE || errno === E2BIG) return true;
  if (atPaths.has(operation.kind) && pathErrors.has(errno)) return true;
  return carriesValues.has(operation.kind) && (errno === EINVAL || errno === EPERM || errno === ERANGE);
}

function execCode(errno: number): ErrorCode {
  if (errno === ENOENT) return "executable-not-found";
  if (errno === EACCES || errno === ENOTDIR || errno === EISDIR || errno === 8) return "not-executable";
  return "internal";
}

/**
 * The error of a failed prepare, launch or exec.
 * @param action "create" for a container, "exec" for another process in it: they differ in the words before the reason.
 */
export function launchError(
  error: unknown,
  plan: Pick<LaunchPlan, "operations">,
  action: "create" | "exec",
): EngineError {
  if (error instanceof EngineError) return error;
  if (!(error instanceof SupervisorFailure))
    return new EngineError("internal", `starting the container's process failed: ${String(error)}`, { cause: error });
  const prefix = action === "create" ? createPrefix : execPrefix;
  const operation = failure(error, plan);
  const code = error.errno === ECANCELED && operation !== undefined ? killedCode(action) : codeOf(operation, error);
  const words =
    error.errno === ECANCELED
      ? "the process was killed before its program ran"
      : operation === undefined
        ? `${error.call}${error.detail === "" ? "" : ` ${error.detail}`}: ${errorText(error.errno)}`
        : operationWords(operation, error);
  return new EngineError(
    code,
    operation?.kind === "make-directory" && error.errno === ENOTDIR ? words : prefix + words,
    {
      cause: error,
    },
  );
}

function failure(error: SupervisorFailure, plan: Pick<LaunchPlan, "operations">): Operation | undefined {
  return error.operation === undefined ? undefined : plan.operations[error.operation];
}
