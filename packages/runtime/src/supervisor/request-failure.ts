/** A supervisor's answer that it could not do a request, as an error for the caller. */
import { EngineError, messageOf } from "@fathom/base";
import { errnoNumber } from "@fathom/sys";
import { SupervisorFailure } from "../connection/protocol.ts";

const ended: ReadonlySet<number> = new Set([errnoNumber("ESRCH"), errnoNumber("EALREADY")]);

/** "conflict" when the supervisor says that the process has ended or runs already. Errors of the connection stay as they are: they decide nothing. */
export function requestFailure(error: unknown, action: string): unknown {
  if (!(error instanceof SupervisorFailure)) return error;
  return new EngineError(ended.has(error.errno) ? "conflict" : "internal", `${action}: ${messageOf(error)}`, {
    cause: error,
  });
}
