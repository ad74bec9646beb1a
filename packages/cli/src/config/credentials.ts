/**
 * Registry credentials of the user: `auths`, `credsStore` and `credHelpers` of ~/.docker/config.json, as the X-Registry-Auth header. Helpers
 * are called with docker's protocol (`docker-credential-NAME get`, the server on stdin).
 */
import { EngineError } from "@fathom/base";
import { configPath, readConfig, type AuthEntry, type ConfigFile } from "./config-file.ts";
import { helperGet, helperProgram, tokenUser } from "./credential-helper.ts";

export interface AuthConfig {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
  readonly serveraddress: string;
}

/** The name of Docker Hub in config.json. */
export const hubServer = "https://index.docker.io/v1/";

/** The registry in an image name: the part before the first slash, when it looks like a host. */
export function registryOf(image: string): string {
  const slash = image.indexOf("/");
  const first = slash < 0 ? "" : image.slice(0, slash);
  return first.includes(".") || first.includes(":") || first === "localhost" ? first : "docker.io";
}

/** Host part of a key in `auths`, which may be a URL. */
export function hostOf(key: string): string {
  return key.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
}

/** The helper that keeps the credentials of a server; undefined when config.json itself keeps them. */
export function helperOf(config: ConfigFile, registry: string): string | undefined {
  return (new Map(Object.entries(config.credHelpers ?? {})).get(registry) ?? config.credsStore) || undefined;
}

async function fromHelper(
  helper: string,
  server: string,
  warn: (line: string) => void,
): Promise<AuthConfig | undefined> {
  const answer = await helperGet(helper, server);
  if (answer === "not-installed") {
    // Public images can be pulled without credentials, as in docker.
    warn(
      `WARNING: credential helper ${helperProgram(helper)} is not in $PATH: continuing without credentials for ${server}`,
    );
    return undefined;
  }
  if (answer === undefined) return undefined;
  if (answer.Username === tokenUser) return { identitytoken: answer.Secret ?? "", serveraddress: server };
  return { username: answer.Username ?? "", password: answer.Secret ?? "", serveraddress: server };
}

/** Credentials for the registry of an image; undefined when the user has none. */
export function credentialsFor(
  image: string,
  configDirectory: string,
  warn?: (line: string) => void,
): Promise<AuthConfig | undefined> {
  return credentialsOf(registryOf(image), configDirectory, warn);
}

/** Credentials for a registry ("docker.io" is Docker Hub); undefined when the user has none. */
export async function credentialsOf(
  registry: string,
  configDirectory: string,
  warn: (line: string) => void = (line) => void process.stderr.write(`${line}\n`),
): Promise<AuthConfig | undefined> {
  const server = registry === "docker.io" ? hubServer : registry;
  const config = readConfig(configDirectory);
  const helper = helperOf(config, registry);
  if (helper !== undefined) {
    const found = await fromHelper(helper, server, warn);
    if (found !== undefined) return found;
  }
  const wanted = registry === "docker.io" ? ["index.docker.io", "docker.io"] : [registry];
  const entry = Object.entries(config.auths ?? {}).find(([key]) => wanted.includes(hostOf(key)))?.[1];
  if (entry === undefined) return undefined;
  const auth = authOf(entry, server);
  if (auth !== "malformed") return auth;
  throw new EngineError(
    "invalid-argument",
    `the credentials for ${registry} in ${configPath(configDirectory)} are not base64 of user:password`,
  );
}

/** "malformed" when `auth` is not base64 of user:password. */
function authOf(entry: AuthEntry, server: string): AuthConfig | undefined | "malformed" {
  if (entry.identitytoken !== undefined && entry.identitytoken !== "")
    return { identitytoken: entry.identitytoken, serveraddress: server };
  if (entry.registrytoken !== undefined && entry.registrytoken !== "")
    return { registrytoken: entry.registrytoken, serveraddress: server };
  if (entry.auth === undefined || entry.auth === "") {
    return entry.username === undefined
      ? undefined
      : { username: entry.username, password: entry.password ?? "", serveraddress: server };
  }
  const plain = Buffer.from(entry.auth, "base64").toString();
  const colon = plain.indexOf(":");
  if (colon < 0) return "malformed";
  return { username: plain.slice(0, colon), password: plain.slice(colon + 1), serveraddress: server };
}

/** The header of pull and push. */
export function authHeader(auth: AuthConfig | undefined): Readonly<Record<string, string>> {
  return auth === undefined ? {} : { "X-Registry-Auth": Buffer.from(JSON.stringify(auth)).toString("base64url") };
}
