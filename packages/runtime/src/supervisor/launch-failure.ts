/**
 * Why a process could not be started, as a value: no caller parses a text. The code that answers a user makes Docker's and runc's words for it
 * (packages/engine/src/words/launch-words.ts).
 */
import { EngineError, messageOf, type ErrorCode } from "@fathom/base";
import { errnoNumber, errnoText, SysError } from "@fathom/sys";
import { describeOperation } from "../plan/describe-operation.ts";
import type { LaunchPlan, Operation } from "../plan/plan.ts";
import { SupervisorFailure } from "../connection/protocol.ts";

const ENOENT = errnoNumber("ENOENT");
const ENOEXEC = errnoNumber("ENOEXEC");
const EBADF = errnoNumber("EBADF");
const EACCES = errnoNumber("EACCES");
const ENOTDIR = errnoNumber("ENOTDIR");
const EISDIR = errnoNumber("EISDIR");
const EPERM = errnoNumber("EPERM");
const E2BIG = errnoNumber("E2BIG");
const EINVAL = errnoNumber("EINVAL");
const EMFILE = errnoNumber("EMFILE");
const ERANGE = errnoNumber("ERANGE");
const ENAMETOOLONG = errnoNumber("ENAMETOOLONG");
const ELOOP = errnoNumber("ELOOP");
const ECANCELED = errnoNumber("ECANCELED");
const EIO = errnoNumber("EIO");
const ENFILE = errnoNumber("ENFILE");
const pathErrors: ReadonlySet<number> = new Set(
  ["EPERM", "ENXIO", "EBUSY", "EEXIST", "EXDEV", "ENODEV", "EINVAL", "ETXTBSY", "EROFS", "EOPNOTSUPP"].map(errnoNumber),
);

/** The steps of a start, in their order; an exec has "user", "compile" and "launch". */
export const launchStages = [
  /** Holding the namespaces of other containers. */
  "join",
  /** Mounting the layers over each other. */
  "root",
  /** The files in /etc that the engine writes, and the run's directory. */
  "files",
  "volumes",
  "images",
  /** Sources of mounts, and their propagation. */
  "mounts",
  "shared-memory",
  /** Looking up the user, and making the OCI configuration. */
  "user",
  /** The first process, before anybody knows what it will run. */
  "stem",
  "limits",
  "network",
  "compile",
  /** The plan's operations, with execve. */
  "launch",
  /** Writing the row that says that it runs. */
  "row",
] as const;
export type LaunchStage = (typeof launchStages)[number];

export interface LaunchFacts {
  readonly stage: LaunchStage;
  /** Index in the plan; undefined before the operations, and outside of the launch. */
  readonly operation?: Operation | undefined;
  /** The failing system call; "" when there was none. */
  readonly call?: string;
  /** Positive, as in errno(3); undefined when no system call failed. */
  readonly errno?: number | undefined;
  /** The object of the call: mostly a path. */
  readonly path?: string;
  readonly detail?: string;
}

/**
 * `code` is "executable-not-found" (exit code 127), "not-executable" (126), "invalid-argument" when the kernel rejects a value of the request,
 * the cause's own code when that is an EngineError, else "internal". The message is plain English, for logs.
 */
export class LaunchFailure extends EngineError {
  readonly stage: LaunchStage;
  readonly operation: Operation | undefined;
  readonly call: string;
  readonly errno: number | undefined;
  readonly path: string;
  readonly detail: string;

  constructor(facts: LaunchFacts, code: ErrorCode, message: string, cause?: unknown) {
    super(code, message, { cause });
    this.name = "LaunchFailure";
    this.stage = facts.stage;
    this.operation = facts.operation;
    this.call = facts.call ?? "";
    this.errno = facts.errno;
    this.path = facts.path ?? "";
    this.detail = facts.detail ?? "";
  }

  /** Anything that a step threw, with its step. A LaunchFailure stays unchanged. */
  static of(stage: LaunchStage, error: unknown): LaunchFailure {
    if (error instanceof LaunchFailure) return error;
    const system = systemErrorIn(error);
    const facts: LaunchFacts = { stage, detail: messageOf(error), ...system };
    // Only names from a client or an image can be too long for the kernel, or be loops of links.
    const ofName = system.errno === ENAMETOOLONG || system.errno === ELOOP;
    const code = error instanceof EngineError ? error.code : ofName ? "invalid-argument" : "internal";
    return new LaunchFailure(facts, code, messageOf(error), error);
  }
}

/** The failed system call in an error of ours or of node's. */
function systemErrorIn(error: unknown): Pick<LaunchFacts, "call" | "errno" | "path"> {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    if (at instanceof SysError) return { call: at.syscall, errno: at.errno };
    if ("errno" in at && typeof at.errno === "number" && "syscall" in at)
      return {
        call: String(at.syscall),
        errno: Math.abs(at.errno),
        ...("path" in at && typeof at.path === "string" ? { path: at.path } : {}),
      };
  }
  return {};
}

/** The failure that the supervisor answered to a prepare, a launch or an exec. An EngineError (a deadline, a closed connection) stays unchanged. */
export function launchFailure(
  error: unknown,
  plan: Pick<LaunchPlan, "operations">,
  of: "stem" | "launch" | "exec",
): EngineError {
  if (error instanceof EngineError) return error;
  const stage = of === "exec" ? "launch" : of;
  if (!(error instanceof SupervisorFailure)) return LaunchFailure.of(stage, error);
  const operation = error.operation === undefined ? undefined : plan.operations[error.operation];
  const { call, errno, detail } = error;
  const what = operation === undefined ? "" : `${describeOperation(operation)}: `;
  const about = detail === "" ? call : `${call} ${detail}`;
  return new LaunchFailure(
    { stage, operation, call, errno, path: pathOf(operation), detail },
    errno === ECANCELED && operation !== undefined ? killedCode(of) : codeOf(operation, error),
    `${what}${about}: ${errnoText(errno)}`,
    error,
  );
}

function pathOf(operation: Operation | undefined): string {
  switch (operation?.kind) {
    case "find-program":
    case "exec":
      return operation.argv[0] ?? "";
    case "working-directory":
    case "make-directory":
      return operation.path;
    case "mount":
    case "bind":
      return operation.target;
    default:
      return "";
  }
}

/** 127 when it does not exist, 126 when it may not be executed or has the wrong type. */
function codeOf(operation: Operation | undefined, failure: SupervisorFailure): ErrorCode {
  if (operation?.kind === "make-directory" && failure.errno === ENOTDIR) return "invalid-argument";
  if (operation?.kind === "exec" || operation?.kind === "find-program") {
    const notFound = failure.errno === ENOENT || !(operation.argv[0] ?? "").includes("/");
    if (isOfTheRequest(operation, failure)) return "invalid-argument";
    if (notFound && failure.call !== "execve") return "executable-not-found";
    // Errors that the kernel or the seccomp profile has against the program; not those where the machine lacks something.
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
function killedCode(of: "stem" | "launch" | "exec"): ErrorCode {
  return of === "exec" ? "conflict" : "invalid-argument";
}

/** Operations whose values come unchanged from the request: when the kernel rejects a value, that is an error of the request. */
const carriesValues: ReadonlySet<Operation["kind"]> = new Set([
  "sysctl",
  "rlimit",
  "set-hostname",
  "set-domainname",
  "mount",
]);

/** Operations at a path that the request or the image names: the file there may have the wrong kind, or may not be changed. */
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

/** EMFILE, and EBADF of dup2: the container's own limit of descriptors is too small for its first process. */
function isOfTheRequest(operation: Operation, { errno, call }: SupervisorFailure): boolean {
  if (errno === EBADF && call === "dup2") return true;
  if (errno === ENAMETOOLONG || errno === ELOOP || errno === EMFILE || errno === E2BIG) return true;
  if (atPaths.has(operation.kind) && pathErrors.has(errno)) return true;
  return carriesValues.has(operation.kind) && (errno === EINVAL || errno === EPERM || errno === ERANGE);
}

function execCode(errno: number): ErrorCode {
  if (errno === ENOENT) return "executable-not-found";
  if (errno === EACCES || errno === ENOTDIR || errno === EISDIR || errno === ENOEXEC) return "not-executable";
  return "internal";
}
