/** Names of volumes of the driver `local`: they are names of directories. */
import { EngineError } from "@fathom/base";

/** @throws invalid-argument in Docker's words */
export function checkVolumeName(name: string): void {
  if (name.length === 1)
    throw new EngineError(
      "invalid-argument",
      "volume name is too short, names should be at least two alphanumeric characters",
    );
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name))
    throw new EngineError(
      "invalid-argument",
      `${JSON.stringify(name)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
  if (name.length > 255)
    throw new EngineError("invalid-argument", "volume name is too long, at most 255 characters are allowed");
}
