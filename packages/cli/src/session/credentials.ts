/**
 * Registry credentials of the user: `auths`, `credsStore` and `credHelpers` of ~/.docker/config.json, as the X-Registry-Auth header. Helpers
 * are called with docker's protocol (`docker-credential-NAME get`, the server on stdin).
 */
import { EngineError } from "@fathom/base";
import { decodeDocument, exact, optional, record, text } from "@fathom/spec";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface AuthConfig {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
  readonly serveraddress: string;
}

interface AuthEntry {
  /** Base64 of user:password. */
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
}

interface ConfigFile {
  readonly auths?: Readonly<Record<string, AuthEntry>>;
  readonly credsStore?: string;
  readonly credHelpers?: Readonly<Record<string, string>>;
}

const configFile = exact<ConfigFile>({
  auths: optional(
    record(
      exact<AuthEntry>({
        auth: optional(text),
        username: optional(text),
        password: optional(text),
        identitytoken: optional(text),
        registrytoken: optional(text),
      }),
    ),
  ),
  credsStore: optional(text),
  credHelpers: optional(record(text)),
});

/** The output of a credential helper. */
const helperAnswer = exact<{ readonly Username?: string; readonly Secret?: string }>({
  Username: optional(text),
  Secret: optional(text),
});

const hubServer = "https://index.docker.io/v1/";

/** The registry in an image name: the part before the first slash, when it looks like a host. */
export function registryOf(image: string): string {
  const slash = image.indexOf("/");
  const first = slash < 0 ? "" : image.slice(0, slash);
  return first.includes(".") || first.includes(":") || first === "localhost" ? first : "docker.io";
}

function readConfig(directory: string): ConfigFile {
  const path = join(directory, "config.json");
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch {
    return {};
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch (error) {
    throw new EngineError("invalid-argument", `${path} is not JSON: repair or remove it`, { cause: error });
  }
  return decodeDocument(configFile, parsed, path);
}

/** Host part of a key in `auths`, which may be a URL. */
function hostOf(key: string): string {
  return key.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
}

async function fromHelper(
  helper: string,
  server: string,
  warn: (line: string) => void,
): Promise<AuthConfig | undefined> {
  const program = `docker-credential-${helper}`;
  const executable = Bun.which(program, { PATH: process.env["PATH"] ?? "" });
  if (executable === null) {
    // Public images can be pulled without credentials, as in docker.
    warn(`WARNING: credential helper ${program} is not in $PATH: continuing without credentials for ${server}`);
    return undefined;
  }
  const child = Bun.spawn([executable, "get"], { stdin: new Blob([server]), stdout: "pipe", stderr: "ignore" });
  const output = await new Response(child.stdout).text();
  // A helper exits with a code when it has no credentials for the server. The pull then continues without credentials.
  if ((await child.exited) !== 0) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(output);
  } catch (error) {
    throw new EngineError("invalid-argument", `the credential helper ${program} gave an answer that is not JSON`, {
      cause: error,
    });
  }
  const answer = decodeDocument(helperAnswer, parsed, `the answer of ${program}`);
  if (answer.Username === "<token>") return { identitytoken: answer.Secret ?? "", serveraddress: server };
  return { username: answer.Username ?? "", password: answer.Secret ?? "", serveraddress: server };
}

/** Credentials for the registry of an image; undefined when the user has none. */
export async function credentialsFor(
  image: string,
  configDirectory: string,
  warn: (line: string) => void = (line) => void process.stderr.write(`${line}\n`),
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
