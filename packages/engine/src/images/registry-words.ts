/** The errors of a registry, in the sentences that dockerd makes of them and that clients match on. */
import { EngineError, isEngineError } from "@fathom/base";
import { RegistryError } from "@fathom/distribution";
import { familiarName, familiarString, type Reference } from "@fathom/spec";

/** @param withCredentials Whether the client sent some: then a rejection means that they are wrong, and not that there are none. */
export function pullError(error: unknown, reference: Reference, withCredentials: boolean): unknown {
  if (!(error instanceof RegistryError)) {
    // From a worker: its type is lost on the way, its code is not.
    return isEngineError(error, "unauthenticated") ? denied(error, reference) : error;
  }
  const sentence = (text: string): EngineError => new EngineError("not-found", text, { cause: error });
  switch (error.reason) {
    case "manifest-unknown":
      return sentence(`manifest for ${familiarString(reference)} not found: ${error.message}`);
    case "name-unknown":
      return sentence(`repository ${familiarName(reference)} not found: ${error.message}`);
    case "denied":
      return denied(error, reference);
    case "no-credentials":
      return new EngineError("internal", error.message, { cause: error });
    case "unauthorized":
      return withCredentials
        ? new EngineError("unauthenticated", error.message, { cause: error })
        : denied(error, reference);
    default:
      return error.code === "unauthenticated" ? denied(error, reference) : error;
  }
}

/** Not 401: the docker CLI then asks for a password, and waits for ever when nobody types one. */
function denied(error: EngineError, reference: Reference): EngineError {
  const name = familiarName(reference);
  return new EngineError(
    "not-found",
    `pull access denied for ${name}, repository does not exist or may require 'docker login': ${error.message}`,
    { cause: error },
  );
}

export function pushError(error: unknown): unknown {
  return error instanceof RegistryError && error.reason === "no-credentials"
    ? new EngineError("unauthenticated", "no basic auth credentials", { cause: error })
    : error;
}
