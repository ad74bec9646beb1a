/** Docker's ~/.docker/config.json. The members that this CLI uses are decoded; a change leaves all others as they are. */
import { EngineError, isErrno } from "@fathom/base";
import { decodeDocument, exact, isObject, list, optional, record, text } from "@fathom/spec";
import { chmodSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface AuthEntry {
  /** Base64 of user:password. */
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
}

export interface ConfigFile {
  readonly auths?: Readonly<Record<string, AuthEntry>>;
  readonly credsStore?: string;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly currentContext?: string;
  /** Folders in which plugins of the CLI are looked for first. */
  readonly cliPluginsExtraDirs?: readonly string[];
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
  currentContext: optional(text),
  cliPluginsExtraDirs: optional(list(text)),
});

export function configPath(directory: string): string {
  return join(directory, "config.json");
}

/** The document; undefined when there is no file, and with `lenient` also for one that this user may not read. @throws invalid-argument when it is not JSON */
function readDocument(path: string, lenient: boolean): unknown {
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch (error) {
    if (!lenient && !isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    return undefined;
  }
  if (content.trim() === "") return undefined;
  try {
    return JSON.parse(content);
  } catch (error) {
    throw new EngineError("invalid-argument", `${path} is not JSON: repair or remove it`, { cause: error });
  }
}

/** A missing file is an empty one. @throws invalid-argument */
export function readConfig(directory: string): ConfigFile {
  const path = configPath(directory);
  const document = readDocument(path, true);
  return document === undefined ? {} : decodeDocument(configFile, document, path);
}

/** The file that a symlink names, also when that file is not there yet. */
function targetOf(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return path;
    throw error;
  }
}

/** Changes members of the file. Another program sees the old or the new file, never half of one; the file's mode stays. */
export function changeConfig(directory: string, change: (document: Record<string, unknown>) => void): void {
  const path = configPath(directory);
  // A file that cannot be read is not replaced.
  const found = readDocument(path, false);
  if (found !== undefined) decodeDocument(configFile, found, path);
  const document: Record<string, unknown> = isObject(found) ? { ...found } : {};
  document["auths"] ??= {};
  change(document);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const target = targetOf(path);
  const temporary = join(dirname(target), `.config.json.fathom-${process.pid}`);
  try {
    writeFileSync(temporary, JSON.stringify(document, null, "\t"), { mode: 0o600 });
    const before = statSync(target, { throwIfNoEntry: false });
    if (before !== undefined) chmodSync(temporary, before.mode & 0o7777);
    renameSync(temporary, target);
  } finally {
    rmSync(temporary, { force: true });
  }
}
