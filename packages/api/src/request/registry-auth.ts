/** Credentials that a client sends with a pull or a push. */
import type { RegistryAuth } from "@fathom/engine";
import { decodeAuthConfig } from "@fathom/spec";

/**
 * The X-Registry-Auth header: JSON in base64, in either alphabet, with or without padding. As in Docker, any other header counts as no
 * credentials: the registry then says what is missing.
 */
export function decodeRegistryAuth(header: string | undefined): RegistryAuth | undefined {
  if (header === undefined || header === "") return undefined;
  try {
    return decodeAuthConfig(JSON.parse(Buffer.from(header, "base64url").toString("utf8")));
  } catch {
    return undefined;
  }
}
