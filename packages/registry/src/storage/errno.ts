/** Faults of the disk, as the contract names them. */
import { EngineError, isErrno } from "@fathom/base";

/** A full disk is resource-exhausted; any other error stays as it is. */
export function storageError(error: unknown): unknown {
  if (!isErrno(error, "ENOSPC", "EDQUOT")) return error;
  return new EngineError("resource-exhausted", "the registry's disk is full: remove images or make it larger", {
    cause: error,
  });
}
