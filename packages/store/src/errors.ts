/** Errors of the file system as the engine's: one place that knows errno names. */
import { EngineError, messageOf } from "@fathom/base";

/** "ENOENT" of a Node error or of a SysError; undefined for anything else. */
export function errnoName(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("errnoName" in error && typeof error.errnoName === "string") return error.errnoName;
  if ("code" in error && typeof error.code === "string") return error.code;
  return undefined;
}

const exhausted = new Set(["ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "ENOMEM", "EFBIG"]);

/** A failed file operation as an EngineError: `action` is "write the blob sha256:…". */
export function storageError(action: string, error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const name = errnoName(error);
  if (name !== undefined && exhausted.has(name)) {
    const why =
      name === "ENOSPC" ? "no space left on device" : name === "EDQUOT" ? "disk quota exceeded" : messageOf(error);
    return new EngineError("resource-exhausted", `${action}: ${why}`, { cause: error });
  }
  return new EngineError("internal", `${action}: ${messageOf(error)}`, { cause: error });
}
