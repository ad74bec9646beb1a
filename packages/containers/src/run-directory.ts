/** `containers/<id>/run`: the supervisor's socket and exit status, and what a daemon needs to take over a process that is not in the row. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { LogSink, RunIdentity } from "@fathom/runtime";
import { boolean, decodeDocument, exact, number, optional, text, wholeNumber } from "@fathom/spec";
import type { ContainersConfig } from "./contract.ts";
import { containerPaths } from "./paths.ts";
import type { NetworkAttachment } from "./record.ts";
import { decodedNetworks } from "./rows/stored-record.ts";

type Roots = Pick<ContainersConfig, "dataRoot">;

/** The data that the row would have had. */
export interface AdoptFile {
  readonly networks: readonly NetworkAttachment[];
  readonly restartCount: number;
  readonly restartDelayMs: number;
  /** A moment before the start: the start's real time ends with the supervisor. RFC3339Nano. */
  readonly launchedAt: string;
  /** With it the next daemon knows whether the run is alive, whether its supervisor answers or not. Absent in files of earlier versions. */
  readonly identity?: RunIdentity;
  /** Its supervisor moves compressed files when it rotates the log. Absent with supervisors of earlier versions. */
  readonly movesPackedLogs?: boolean;
}

const process = exact<RunIdentity["process"]>({ pid: wholeNumber, startTime: text });
const adoptFile = exact<AdoptFile>({
  networks: decodedNetworks,
  restartCount: number,
  restartDelayMs: number,
  launchedAt: text,
  movesPackedLogs: optional(boolean),
  identity: optional(exact<RunIdentity>({ process, supervisor: process, bootId: text, pidNamespace: text })),
});

/** For a new run; with the folder of the log that its supervisor writes. */
export function makeRunDirectory(config: Roots, id: string, log: LogSink): void {
  const { directory, run } = containerPaths(config, id);
  mkdirSync(run, { recursive: true, mode: 0o700 });
  // The parent of the run's directory is the container's own folder, so that folder exists now.
  const logFolder = log.kind === "json-file" ? dirname(log.path) : directory;
  if (logFolder !== directory) mkdirSync(logFolder, { recursive: true, mode: 0o710 });
}

export function writeAdoptFile(config: Roots, id: string, adopt: AdoptFile): void {
  writeFileSync(containerPaths(config, id).adopt, JSON.stringify(adopt), { mode: 0o600 });
}

/** Returns undefined when the file does not exist, was cut short, or has another form. */
export function readAdoptFile(config: Roots, id: string): AdoptFile | undefined {
  try {
    const { adopt } = containerPaths(config, id);
    return decodeDocument(adoptFile, JSON.parse(readFileSync(adopt, "utf8")), adopt);
  } catch {
    return undefined;
  }
}

export async function clearRunDirectory({ config }: { readonly config: Roots }, id: string): Promise<void> {
  await rm(containerPaths(config, id).run, { recursive: true, force: true });
}
