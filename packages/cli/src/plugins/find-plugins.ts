/**
 * Docker's CLI plugins: programs `docker-NAME` that add the command NAME. They lie in folders that config.json names, in ~/.docker/cli-plugins, and in the
 * system's folders; the first folder that has the name decides. A plugin describes itself in JSON when it is called with `docker-cli-plugin-metadata`.
 */
import { decodeDocument, exact, optional, text } from "@fathom/spec";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { readConfig } from "../config/config-file.ts";

const prefix = "docker-";
const namePattern = /^[a-z][a-z0-9]*$/;
/** A plugin that does not answer must not keep the help page waiting. */
const answerTimeoutMs = 5_000;

const systemFolders = [
  "/usr/local/lib/docker/cli-plugins",
  "/usr/local/libexec/docker/cli-plugins",
  "/usr/lib/docker/cli-plugins",
  "/usr/libexec/docker/cli-plugins",
];

export interface Plugin {
  readonly name: string;
  readonly path: string;
  readonly summary: string;
}

interface Metadata {
  readonly SchemaVersion?: string;
  readonly Vendor?: string;
  readonly ShortDescription?: string;
}

const metadata = exact<Metadata>({
  SchemaVersion: optional(text),
  Vendor: optional(text),
  ShortDescription: optional(text),
});

function foldersOf(configDirectory: string): readonly string[] {
  const extra = readConfig(configDirectory).cliPluginsExtraDirs ?? [];
  return [...extra, join(configDirectory, "cli-plugins"), ...systemFolders];
}

/** undefined when the program is no plugin. */
function describe(name: string, path: string): Plugin | undefined {
  try {
    const asked = Bun.spawnSync([path, "docker-cli-plugin-metadata"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
      timeout: answerTimeoutMs,
      killSignal: "SIGKILL",
    });
    if (asked.exitCode !== 0) return undefined;
    const { SchemaVersion, Vendor, ShortDescription } = decodeDocument(
      metadata,
      JSON.parse(asked.stdout.toString()),
      path,
    );
    const major = /^(\d+)\./.exec(SchemaVersion ?? "")?.[1];
    if (major === undefined || Number(major) > 1 || (Vendor ?? "") === "") return undefined;
    return { name, path, summary: ShortDescription ?? "" };
  } catch {
    // The program cannot be run, or says something else.
    return undefined;
  }
}

export function findPlugin(configDirectory: string, name: string): Plugin | undefined {
  if (!namePattern.test(name)) return undefined;
  const path = foldersOf(configDirectory)
    .map((folder) => join(folder, prefix + name))
    .find((one) => statSync(one, { throwIfNoEntry: false }) !== undefined);
  return path === undefined ? undefined : describe(name, path);
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
      .filter((file) => file.startsWith(prefix))
      .map((file) => file.slice(prefix.length));
  } catch {
    // Most of these folders do not exist.
    return [];
  }
}

/** The names alone: no plugin is called. */
export function pluginNames(configDirectory: string): readonly string[] {
  const names = foldersOf(configDirectory).flatMap(namesIn);
  return [...new Set(names)].filter((name) => namePattern.test(name)).toSorted();
}

export function listPlugins(configDirectory: string): readonly Plugin[] {
  return pluginNames(configDirectory).flatMap((name) => findPlugin(configDirectory, name) ?? []);
}
