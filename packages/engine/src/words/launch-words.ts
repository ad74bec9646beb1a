/**
 * Launch failures in the words that Docker's users and programs know: Docker's own words, with runc's inside, and the exit codes that Docker
 * derives from them.
 */
import { ContainerProblem, NotReady } from "@fathom/containers";
import { errorText, operationWords, type LaunchFailure } from "@fathom/runtime";
import { errnoNumber } from "@fathom/sys";
import { problemWords } from "./problem-words.ts";

const ENOENT = errnoNumber("ENOENT");
const EACCES = errnoNumber("EACCES");
const ENOTDIR = errnoNumber("ENOTDIR");
const ECANCELED = errnoNumber("ECANCELED");

const createPrefix =
  "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: " +
  "unable to start container process: error during container init: ";
const execRefused = "OCI runtime exec failed: exec failed: ";
const execPrefix = `${execRefused}unable to start container process: `;

/** Why the first process of a container could not be started, in Docker's words with runc's inside. */
export function startWords(failure: LaunchFailure): string {
  switch (failure.stage) {
    case "stem":
    case "launch":
      return launchWords(failure, createPrefix);
    case "network":
      return `failed to set up container networking: ${reasonWords(failure)}`;
    default:
      return reasonWords(failure);
  }
}

/** Why an additional process of a container could not be started. */
export function execWords(failure: LaunchFailure): string {
  switch (failure.stage) {
    case "launch":
      return launchWords(failure, execPrefix);
    case "compile":
      return `${execRefused}${failure.message}`;
    default:
      return failure.message;
  }
}

function reasonWords({ cause, message }: LaunchFailure): string {
  return cause instanceof ContainerProblem ? problemWords(cause) : message;
}

function launchWords(failure: LaunchFailure, prefix: string): string {
  const { operation, errno, call, detail } = failure;
  // No system call failed: a deadline passed, or the supervisor cannot be reached.
  if (errno === undefined || call === "")
    return failure.cause instanceof NotReady ? notReadyWords(failure.cause) : failure.message;
  if (errno === ECANCELED) return `${prefix}the process was killed before its program ran`;
  if (operation === undefined) return `${prefix}${call}${detail === "" ? "" : ` ${detail}`}: ${errorText(errno)}`;
  // Docker finds this error before it calls runc.
  if (operation.kind === "make-directory" && errno === ENOTDIR)
    return `Cannot mkdir: ${operation.path} is not a directory`;
  return prefix + operationWords(operation, { errno, call, detail });
}

/** Docker's words for a container that cannot be used now. */
export function notReadyWords({ use, obstacle, containerId, containerName }: NotReady): string {
  // Docker names the container in several ways.
  switch (obstacle) {
    case "paused":
      return `${use === "exec" ? `Container ${containerName}` : `container ${containerId}`} is paused, unpause the container before ${use}`;
    case "restarting":
      return `${use === "exec" ? "Container" : "container"} ${containerId} is restarting, wait until the container is running`;
    case "not-running":
      return `container ${containerId} is not running`;
  }
}

/** The exit code of a container whose start failed: 127 for "not found", 126 for "may not be executed", 128 for all others. */
export function exitCodeOfStart(failure: LaunchFailure): number {
  switch (failure.code) {
    case "executable-not-found":
      return 127;
    case "not-executable":
      return 126;
    default:
      break;
  }
  if (failure.errno === ENOENT || failure.errno === ENOTDIR) return 127;
  return failure.errno === EACCES ? 126 : 128;
}

/** A failure before the process is made does not change the code: the code of the last run stays, unless it is 0. */
export function exitCodeAfterStart(failure: LaunchFailure, before: number): number {
  const ofProcess = failure.stage === "stem" || failure.stage === "launch";
  return !ofProcess && before !== 0 ? before : exitCodeOfStart(failure);
}

/** 126 and 127 as for a container; 1 for a user that the container does not know. */
export function exitCodeOfExec(failure: LaunchFailure): number {
  if (failure.stage === "user") return 1;
  const code = exitCodeOfStart(failure);
  return code === 128 ? 126 : code;
}
