/** Errors of the file system as the engine's. */
import { EngineError, messageOf, errnoOf } from "@fathom/base";

const exhausted = new Set(["ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "ENOMEM", "EFBIG"]);

/** A failed file operation as an EngineError; `action` is for example "write the blob sha256:…". */
export function storageError(action: string, error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const name = errnoOf(error);
  if (name !== undefined && exhausted.has(name)) {
    const why =
      name === "ENOSPC" ? "no space left on device" : name === "EDQUOT" ? "disk quota exceeded" : messageOf(error);
    return new EngineError("resource-exhausted", `${action}: ${why}`, { cause: error });
  }
  return new EngineError("internal", `${action}: ${messageOf(error)}`, { cause: error });
}
