/** Credentials: the body of a login, and the X-Registry-Auth header of a pull or a push. */
import { decodeBody } from "../../decode/decoder.ts";
import { optional, string, struct } from "../../decode/go.ts";

export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
  readonly serveraddress?: string;
}

const authConfig = struct<RegistryAuth>("registry.AuthConfig", {
  username: optional(string),
  password: optional(string),
  identitytoken: optional(string),
  registrytoken: optional(string),
  serveraddress: optional(string),
});

/** An empty text counts as absent. @throws invalid-argument */
export function decodeAuthConfig(document: unknown): RegistryAuth {
  const auth = decodeBody(authConfig, document);
  return Object.fromEntries(Object.entries(auth).filter(([, text]) => text !== ""));
}
