/** Files that flags name: environment files, label files, seccomp profiles. Errors in docker's words. */
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { errnoOf, messageOf } from "@fathom/base";

/** The system's failure in Go's words: "open NAME: no such file or directory". */
export function fileFailure(action: string, path: string, error: unknown): Error {
  const code = errnoOf(error);
  const words: Readonly<Record<string, string>> = {
    ENOENT: "no such file or directory",
    EACCES: "permission denied",
    EISDIR: "is a directory",
    ENOTDIR: "not a directory",
    ELOOP: "too many levels of symbolic links",
    EEXIST: "file exists",
    EROFS: "read-only file system",
    ENOSPC: "no space left on device",
    EPERM: "operation not permitted",
  };
  return new Error(`${action} ${path}: ${words[code ?? ""] ?? code ?? messageOf(error)}`, { cause: error });
}

/** Reads a file of the user. If it does not exist, the error is "open NAME: no such file or directory", as in Go. */
export function readUserFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw fileFailure(errnoOf(error) === "EISDIR" ? "read" : "open", path, error);
  }
}

/** A file of the user, for reading in pieces. @throws Error in Go's words when it cannot be read */
export function openUserFile(path: string): ReturnType<typeof Bun.file> {
  try {
    closeSync(openSync(path, "r"));
  } catch (error) {
    throw fileFailure("open", path, error);
  }
  if (statSync(path).isDirectory())
    throw fileFailure("read", path, Object.assign(new Error("is a directory"), { code: "EISDIR" }));
  return Bun.file(path);
}

/**
 * NAME=value lines. `#` begins a comment line. A NAME alone takes this shell's value; when `lookup` finds none, a variable is dropped and a label stays.
 * @param what "env" or "label", for the message
 */
function parseKeyValueFile(
  path: string,
  what: "env" | "label",
  lookup: (name: string) => string | undefined,
): string[] {
  const result: string[] = [];
  const lines = readUserFile(path)
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/);
  for (const raw of lines) {
    const line = raw.trimStart();
    if (line === "" || line.startsWith("#")) continue;
    const equals = line.indexOf("=");
    const name = equals < 0 ? line : line.slice(0, equals);
    if (/\s/.test(name)) throw new Error(`invalid ${what} file (${path}): variable '${name}' contains whitespaces`);
    if (name === "") throw new Error(`invalid ${what} file (${path}): no variable name on line '${line}'`);
    if (equals >= 0) result.push(line);
    else {
      const value = lookup(name);
      if (value !== undefined) result.push(`${name}=${value}`);
      else if (what === "label") result.push(name);
    }
  }
  return result;
}

/** `-e NAME=value` and `-e NAME`. Variables of files come first, so that flags override them. */
export function environmentOf(
  files: readonly string[],
  given: readonly string[],
  variables: Readonly<Record<string, string | undefined>>,
): string[] {
  const lookup = (name: string): string | undefined => variables[name];
  const fromFiles = files.flatMap((path) => parseKeyValueFile(path, "env", lookup));
  const fromFlags = given.flatMap((text) => {
    if (text.includes("=")) return [text];
    const value = lookup(text);
    return value === undefined ? [text] : [`${text}=${value}`];
  });
  // When a name occurs several times, the last value is used, at the position of the first.
  return [...new Map([...fromFiles, ...fromFlags].map((text) => [text.replace(/=.*/s, ""), text])).values()];
}

/** Makes a map of `key=value` flags and files. A key alone has the value "". */
export function labelsOf(files: readonly string[], given: readonly string[]): Record<string, string> {
  const lines = [...files.flatMap((path) => parseKeyValueFile(path, "label", () => undefined)), ...given];
  return keyValueMap(lines);
}

export function keyValueMap(lines: readonly string[]): Record<string, string> {
  const pairs = lines.map((line) => {
    const equals = line.indexOf("=");
    return equals < 0 ? ([line, ""] as const) : ([line.slice(0, equals), line.slice(equals + 1)] as const);
  });
  // Sorted by key, as Go writes a map: the same flags give the same bytes.
  return Object.fromEntries(pairs.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

/** Security options. Seccomp profiles are read from their files, as in docker. */
export function securityOptions(given: readonly string[]): string[] {
  return given.map((option) => {
    const match = /^([^=:]+)[=:](.*)$/s.exec(option);
    if (match === null) {
      if (option !== "no-new-privileges" && !option.startsWith("no-new-privileges") && option !== "writable-cgroups")
        throw new Error(`Invalid --security-opt: ${JSON.stringify(option)}`);
      return option;
    }
    const [, key, value] = match;
    if (key !== "seccomp" || value === "unconfined" || value === "builtin") return option;
    let text: string;
    try {
      text = readUserFile(value!);
    } catch (error) {
      throw new Error(
        `opening seccomp profile (${value}) failed: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    }
    try {
      return `seccomp=${JSON.stringify(JSON.parse(text))}`;
    } catch (error) {
      throw new Error(
        `compacting json for seccomp profile (${value}) failed: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    }
  });
}
