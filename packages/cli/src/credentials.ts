/**
 * Registry credentials of the user: `auths`, `credsStore` and `credHelpers` of ~/.docker/config.json, as the X-Registry-Auth header. Helpers
 * are called with docker's protocol (`docker-credential-NAME get`, the server on stdin).
 */
import { EngineError } from "@fathom/base";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface AuthConfig {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
  readonly serveraddress: string;
}

interface ConfigFile {
  readonly auths?: Readonly<
    Record<
      string,
      {
        readonly auth?: string;
        readonly username?: string;
        readonly password?: string;
        readonly identitytoken?: string;
        readonly registrytoken?: string;
      }
    >
  >;
  readonly credsStore?: string;
  readonly credHelpers?: Readonly<Record<string, string>>;
}

const hubServer = "https://index.docker.io/v1/";

/** The registry in an image name: the part before the first slash, when it looks like a host. */
export function registryOf(image: string): string {
  const slash = image.indexOf("/");
  const first = slash < 0 ? "" : image.slice(0, slash);
  return first.includes(".") || first.includes(":") || first === "localhost" ? first : "docker.io";
}

function readConfig(directory: string): ConfigFile {
  const path = join(directory, "config.json");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return {};
  }
  try {
    return JSON.parse(text) as ConfigFile;
  } catch (error) {
    throw new EngineError("invalid-argument", `${path} is not JSON: repair or remove it`, { cause: error });
  }
}

/** Host part of a key in `auths`, which may be a URL. */
function hostOf(key: string): string {
  return key.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
}

async function fromHelper(
  helper: string,
  server: string,
  warn: (text: string) => void,
): Promise<AuthConfig | undefined> {
  const program = `docker-credential-${helper}`;
  const executable = Bun.which(program, { PATH: process.env["PATH"] ?? "" });
  if (executable === null) {
    // Public images can be pulled without credentials, as in docker.
    warn(`WARNING: credential helper ${program} is not in $PATH: continuing without credentials for ${server}`);
    return undefined;
  }
  const child = Bun.spawn([executable, "get"], { stdin: new Blob([server]), stdout: "pipe", stderr: "ignore" });
  const text = await new Response(child.stdout).text();
  // A helper exits with a code when it has no credentials for the server. The pull then continues without credentials.
  if ((await child.exited) !== 0) return undefined;
  const answer = JSON.parse(text) as { Username?: string; Secret?: string };
  if (answer.Username === "<token>") return { identitytoken: answer.Secret ?? "", serveraddress: server };
  return { username: answer.Username ?? "", password: answer.Secret ?? "", serveraddress: server };
}

/** Credentials for the registry of an image; undefined when the user has none. */
export async function credentialsFor(
  image: string,
  configDirectory: string,
  warn: (text: string) => void = (text) => void process.stderr.write(`${text}\n`),
): Promise<AuthConfig | undefined> {
  const registry = registryOf(image);
  const server = registry === "docker.io" ? hubServer : registry;
  const config = readConfig(configDirectory);
  const helper = new Map(Object.entries(config.credHelpers ?? {})).get(registry) ?? config.credsStore;
  if (helper !== undefined && helper !== "") {
    const found = await fromHelper(helper, server, warn);
    if (found !== undefined) return found;
  }
  const wanted = registry === "docker.io" ? ["index.docker.io", "docker.io"] : [registry];
  const entry = Object.entries(config.auths ?? {}).find(([key]) => wanted.includes(hostOf(key)))?.[1];
  if (entry === undefined) return undefined;
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
  if (colon < 0)
    throw new EngineError(
      "invalid-argument",
      `the credentials for ${registry} in ${join(configDirectory, "config.json")} are not base64 of user:password`,
    );
  return { username: plain.slice(0, colon), password: plain.slice(colon + 1), serveraddress: server };
}

/** The header of pull and push. */
export function authHeader(auth: AuthConfig | undefined): Readonly<Record<string, string>> {
  return auth === undefined ? {} : { "X-Registry-Auth": Buffer.from(JSON.stringify(auth)).toString("base64url") };
}
