/** `state.json`: what a later call must find or remove. It is plain data, and every call checks it. */
import { closeSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { EngineError, isErrno } from "@fathom/base";
import { decodeDocument, exact, number, omittable, parseOciSpec, text, type Decoder, type OciSpec } from "@fathom/spec";
import type { PlacedProcess } from "@fathom/runtime";

export interface ContainerRecord {
  /** Of this form. A program with a lower number does not touch the container. */
  readonly version: number;
  readonly id: string;
  readonly bundle: string;
  readonly rootfs: string;
  /** RFC 3339. */
  readonly created: string;
  /** Absolute in every hierarchy. */
  readonly cgroup: string;
  /** The call that makes the container. */
  readonly creator: PlacedProcess;
  /** Absent while the container is made. */
  readonly process?: PlacedProcess;
  /** The text of config.json, as it was at the creation, and with later limits. */
  readonly config: string;
}

export const recordVersion = 1;
const fileName = "state.json";

const placed: Decoder<PlacedProcess> = exact<PlacedProcess>({
  process: exact<PlacedProcess["process"]>({ pid: number, startTime: text }),
  bootId: text,
  pidNamespace: text,
});

const decoder = exact<ContainerRecord>({
  version: number,
  id: text,
  bundle: text,
  rootfs: text,
  created: text,
  cgroup: text,
  creator: placed,
  process: omittable(placed),
  config: text,
});

/** undefined when there is none: its creation was interrupted before the record. @throws data-loss for a file that another program wrote */
export function readRecord(directory: string): ContainerRecord | undefined {
  let content: string;
  try {
    content = readFileSync(join(directory, fileName), "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  const path = join(directory, fileName);
  try {
    const found = decodeDocument(decoder, JSON.parse(content), fileName);
    if (found.version === recordVersion) return found;
  } catch (error) {
    throw new EngineError(
      "data-loss",
      `${path} is not a state of fathom-runc: the container was made by another runtime`,
      {
        cause: error,
      },
    );
  }
  throw new EngineError("data-loss", `${path} was written by another version of fathom-runc`);
}

/** Renamed into place: a reader sees the old record or the new one. */
export function writeRecord(directory: string, state: ContainerRecord): void {
  const early = join(directory, `.${fileName}`);
  const fd = openSync(early, "w", 0o600);
  try {
    const bytes = Buffer.from(JSON.stringify(state));
    for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
  } finally {
    closeSync(fd);
  }
  renameSync(early, join(directory, fileName));
}

export function configOf(state: ContainerRecord): OciSpec {
  return parseOciSpec(state.config);
}
