/** API versions. Inside, a version is the number after "1.", so versions are compared as numbers. */
import { EngineError } from "@fathom/base";

export const minimumVersion = 40;
export const maximumVersion = 52;

export function formatVersion(version: number): string {
  return `1.${version}`;
}

/**
 * Splits "/v1.47/containers/json". A path without a version gets the newest.
 * @throws invalid-argument for a version that is not supported, in Docker's words
 */
export function splitVersion(path: string): { version: number; rest: string } {
  if (path.charCodeAt(1) !== 118) return { version: maximumVersion, rest: path };
  const match = /^\/v(\d{1,4})\.(\d{1,4})(\/.*)$/.exec(path);
  if (match === null) return { version: maximumVersion, rest: path };
  const [, major, minor, rest] = match;
  const asked = `${major}.${minor}`;
  if (Number(major) < 1 || (Number(major) === 1 && Number(minor) < minimumVersion))
    throw new EngineError(
      "invalid-argument",
      `client version ${asked} is too old. Minimum supported API version is ${formatVersion(minimumVersion)}, please upgrade your client to a newer version`,
    );
  if (Number(major) > 1 || Number(minor) > maximumVersion)
    throw new EngineError(
      "invalid-argument",
      `client version ${asked} is too new. Maximum supported API version is ${formatVersion(maximumVersion)}`,
    );
  return { version: Number(minor), rest: rest ?? "/" };
}
