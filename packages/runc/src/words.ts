/** Failures in runc's words: containerd, dockerd, conmon and Podman look for some of them. */
import { EngineError, firstFailure, messageOf } from "@fathom/base";
import { errorText, LaunchFailure, operationWords } from "@fathom/runtime";

/** Texts that other programs look for. */
export const texts = {
  missing: "container does not exist",
  exists: "container with given ID already exists",
  notRunning: "container not running",
  notPaused: "container not paused",
  noConfiguration: "JSON specification file config.json not found",
} as const;

export function missing(): EngineError {
  return new EngineError("not-found", texts.missing);
}

export function notRunning(): EngineError {
  return new EngineError("conflict", texts.notRunning);
}

/** For a call that makes a process: "runc create failed", "runc run failed", "exec failed". */
export function launchWords(action: string, error: unknown): string {
  const first = firstFailure(error);
  if (!(first instanceof LaunchFailure)) return `${action}: ${messageOf(error)}`;
  const { operation, errno, call, detail } = first;
  const prefix = `${action}: unable to start container process: `;
  if (errno === undefined || call === "") return prefix + first.message;
  if (operation === undefined)
    return `${prefix}error during container init: ${call}${detail === "" ? "" : ` ${detail}`}: ${errorText(errno)}`;
  const words = operationWords(operation, { errno, call, detail });
  // runc finds the program before the container's process begins to work.
  const ofProgram = operation.kind === "exec" || operation.kind === "find-program";
  return ofProgram && call !== "execve" ? prefix + words : `${prefix}error during container init: ${words}`;
}
