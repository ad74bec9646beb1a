/**
 * Docker's contexts: named addresses of daemons. `contexts/meta/ID/meta.json` has a context's data and `contexts/tls/ID/docker/` its certificates; ID
 * is the SHA-256 of its name. The context "default" has no file: it is what DOCKER_HOST and the defaults say.
 */
import { isErrno } from "@fathom/base";
import { boolean, decodeDocument, exact, isObject, optional, record, text } from "@fathom/spec";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const defaultContext = "default";

export interface Endpoint {
  readonly Host?: string;
  readonly SkipTLSVerify?: boolean;
}

export interface ContextData {
  readonly Name: string;
  /** "Description", and what other programs keep there. */
  readonly Metadata: Readonly<Record<string, unknown>>;
  readonly Endpoints: Readonly<Record<string, Endpoint>>;
}

const contextData = exact<{
  readonly Name: string;
  readonly Metadata?: unknown;
  readonly Endpoints?: Readonly<Record<string, Endpoint>>;
}>({
  Name: text,
  Metadata: { zero: undefined, decode: (value: unknown) => value, missing: "absent or null" },
  Endpoints: optional(record(exact<Endpoint>({ Host: optional(text), SkipTLSVerify: optional(boolean) }))),
});

const namePattern = "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$";

/** @throws Error in docker's words */
export function checkContextName(name: string): void {
  if (name === "") throw new Error("context name cannot be empty");
  if (name === defaultContext) throw new Error('"default" is a reserved context name');
  if (!new RegExp(namePattern).test(name))
    throw new Error(
      `context name ${JSON.stringify(name)} is invalid, names are validated against regexp ${JSON.stringify(namePattern)}`,
    );
}

function idOf(name: string): string {
  return createHash("sha256").update(name).digest("hex");
}

export function metaDirectory(config: string, name: string): string {
  return join(config, "contexts", "meta", idOf(name));
}

export function tlsDirectory(config: string, name: string): string {
  return join(config, "contexts", "tls", idOf(name));
}

function read(directory: string): ContextData | undefined {
  const path = join(directory, "meta.json");
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return undefined;
    throw error;
  }
  return decodeContext(content, path);
}

/** @param path for the message @throws Error, EngineError for a document of another form */
export function decodeContext(content: string, path: string): ContextData {
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch (error) {
    throw new Error(`parsing ${path}: it is not JSON`, { cause: error });
  }
  const data = decodeDocument(contextData, parsed, path);
  return {
    Name: data.Name,
    Metadata: isObject(data.Metadata) ? data.Metadata : {},
    Endpoints: data.Endpoints ?? {},
  };
}

/** @throws Error in docker's words when there is no such context */
export function readContext(config: string, name: string): ContextData {
  const directory = metaDirectory(config, name);
  const found = read(directory);
  if (found !== undefined) return found;
  const path = join(directory, "meta.json");
  throw new Error(`context ${JSON.stringify(name)}: context not found: open ${path}: no such file or directory`);
}

export function hasContext(config: string, name: string): boolean {
  return read(metaDirectory(config, name)) !== undefined;
}

/** All contexts with files, by name. */
export function listContexts(config: string): readonly ContextData[] {
  const root = join(config, "contexts", "meta");
  let names: readonly string[];
  try {
    names = readdirSync(root);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
  return names
    .flatMap((name) => read(join(root, name)) ?? [])
    .toSorted((a, b) => a.Name.localeCompare(b.Name, "en", { numeric: true }));
}

export interface TlsFiles {
  readonly ca?: Uint8Array;
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
}

/** The files' names, by their members in `TlsFiles`. */
export const tlsFileNames: ReadonlyMap<string, string> = new Map([
  ["ca", "ca.pem"],
  ["cert", "cert.pem"],
  ["key", "key.pem"],
]);

/** Writes a context; its certificates become these. */
export function writeContext(config: string, data: ContextData, tls: TlsFiles | "unchanged"): void {
  const directory = metaDirectory(config, data.Name);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const temporary = join(directory, `.meta.json.fathom-${process.pid}`);
  writeFileSync(temporary, JSON.stringify({ Name: data.Name, Metadata: data.Metadata, Endpoints: data.Endpoints }));
  renameSync(temporary, join(directory, "meta.json"));
  if (tls === "unchanged") return;
  rmSync(tlsDirectory(config, data.Name), { recursive: true, force: true });
  const folder = join(tlsDirectory(config, data.Name), "docker");
  for (const [key, name] of tlsFileNames) {
    const bytes = new Map(Object.entries(tls)).get(key);
    if (bytes === undefined) continue;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(join(folder, name), bytes, { mode: 0o600 });
  }
}

export function removeContext(config: string, name: string): void {
  for (const directory of [metaDirectory(config, name), tlsDirectory(config, name)])
    rmSync(directory, { recursive: true, force: true });
}

/** Names of the certificate files, by endpoint. */
export function tlsMaterial(config: string, name: string): Readonly<Record<string, readonly string[]>> {
  const root = tlsDirectory(config, name);
  try {
    return Object.fromEntries(
      readdirSync(root).map((endpoint) => [endpoint, readdirSync(join(root, endpoint)).toSorted()]),
    );
  } catch (error) {
    if (isErrno(error, "ENOENT")) return {};
    throw error;
  }
}

export function readTls(config: string, name: string): TlsFiles {
  const folder = join(tlsDirectory(config, name), "docker");
  const one = (file: string): Uint8Array | undefined => {
    try {
      return readFileSync(join(folder, file));
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  };
  const [ca, cert, key] = [one("ca.pem"), one("cert.pem"), one("key.pem")];
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}
