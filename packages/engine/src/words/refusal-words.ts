/** The edge: only here failures that are values become errors in Docker's words. */
import { EngineError, isEngineError, messageOf } from "@fathom/base";
import { LaunchFailure } from "@fathom/runtime";
import { ContainerProblem, NotReady, Refused } from "@fathom/containers";
import { notReadyWords, startWords } from "./launch-words.ts";
import { problemWords } from "./problem-words.ts";

/** The same backend; the failures of every method are in Docker's words. */
export function withDockersWords<T extends Record<keyof T, (...args: never[]) => Promise<unknown>>>(backend: T): T {
  return new Proxy(backend, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: readonly unknown[]) =>
        inDockersWords(async (): Promise<unknown> => Reflect.apply(method, target, args));
    },
  });
}

/** Runs a verb on a container and makes the words of its failure; other errors stay unchanged. */
async function inDockersWords<T>(verb: () => Promise<T>): Promise<T> {
  try {
    return await verb();
  } catch (error) {
    throw inWords(error);
  }
}

/** As `inDockersWords`; every failure begins with the action. */
export async function saying<T>(action: string, verb: () => Promise<T>): Promise<T> {
  try {
    return await verb();
  } catch (error) {
    throw inContext(action, inWords(error));
  }
}

export function inContext(action: string, error: unknown): EngineError {
  return new EngineError(isEngineError(error) ? error.code : "internal", `${action}: ${messageOf(error)}`, {
    cause: error,
  });
}

/** As `inDockersWords`, for an error that was caught. */
export function inWords(error: unknown): unknown {
  if (error instanceof Refused) return new EngineError(error.code, refusalWords(error), { cause: error });
  if (error instanceof NotReady) return new EngineError(error.code, notReadyWords(error), { cause: error });
  if (error instanceof ContainerProblem) return new EngineError(error.code, problemWords(error), { cause: error });
  if (error instanceof LaunchFailure) return new EngineError(error.code, startWords(error), { cause: error });
  return error;
}

function refusalWords({ happening, state, containerId, message }: Refused): string {
  switch (happening) {
    case "start":
      if (state === "paused") return "cannot start a paused container, try unpause instead";
      if (state === "removing" || state === "gone") return "container is marked for removal and cannot be started";
      return "";
    case "pause":
      return state === "paused"
        ? `container ${containerId} is already paused`
        : `container ${containerId} is not running`;
    case "unpause":
      return `Container ${containerId} is not paused`;
    default:
      return message;
  }
}
