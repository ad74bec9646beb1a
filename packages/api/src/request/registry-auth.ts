/** Credentials that a client sends with a pull, a push or a login. */
import { EngineError } from "@fathom/base";
import type { RegistryAuth } from "@fathom/engine";

const names = ["username", "password", "identitytoken", "registrytoken", "serveraddress"] as const;

/**
 * The X-Registry-Auth header: JSON in base64, in either alphabet, with or without padding. As in Docker, any other header counts as no
 * credentials: the registry then says what is missing.
 */
export function decodeRegistryAuth(header: string | undefined): RegistryAuth | undefined {
  if (header === undefined || header === "") return undefined;
  try {
    return readAuth(JSON.parse(Buffer.from(header, "base64url").toString("utf8")));
  } catch {
    return undefined;
  }
}

/** The body of POST /auth. @throws invalid-argument */
export function readAuth(document: unknown): RegistryAuth {
  if (typeof document !== "object" || document === null || Array.isArray(document))
    throw new EngineError("invalid-argument", "invalid JSON: credentials must be an object");
  const auth: Partial<Record<(typeof names)[number], string>> = {};
  for (const [key, value] of Object.entries(document)) {
    const name = names.find((known) => known === key.toLowerCase());
    if (name === undefined || value === null || value === "") continue;
    if (typeof value !== "string")
      throw new EngineError("invalid-argument", `invalid JSON: ${key}: expected a string, got a ${typeof value}`);
    auth[name] = value;
  }
  return auth;
}
