/**
 * `volumes/<name>/opts.json`: a copy of a volume's row, beside its data. A database that does not have the volume (an older backup, a new one)
 * gets it back with its options; without them the volume would be a different place.
 *
 * Name and form are Docker's, so that a folder of volumes means the same to both engines. Docker writes only the options, for volumes that have
 * some, and keeps labels and times in its own database; it ignores unknown keys. Here the file also has `Name`, `CreatedAt` and `Labels`, and
 * every volume has the file.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { messageOf, isErrno } from "@fathom/base";
import type { VolumeRecord } from "../contract.ts";
import { isObject } from "@fathom/spec";
import { isStringMap } from "../string-map.ts";
import { parseMountOptions } from "./mount-options.ts";
import { syncDirectory } from "@fathom/sys";

/** A record without its driver, which is this driver. */
export type DescribedVolume = Omit<VolumeRecord, "driver">;

const fileName = "opts.json";
const newName = ".opts.json.new";
/** More than a request can contain: the user decides the size of labels. */
const byteLimit = 16 * 1024 * 1024;

/** Docker's keys for the options of the driver `local`. */
const optionKeys = { type: "MountType", o: "MountOpts", device: "MountDevice" } as const;

/** `own`: Fathom wrote it, and it has the creation time; Docker's has only the options. */
export type VolumeDescription =
  | { readonly kind: "absent" }
  | { readonly kind: "unusable"; readonly reason: string }
  | { readonly kind: "own"; readonly row: DescribedVolume }
  | { readonly kind: "docker"; readonly options: VolumeRecord["options"] };

/** Never throws: every file is one of the four kinds. */
export function readDescription(directory: string, name: string): VolumeDescription {
  let fd: number;
  try {
    // Opening a pipe would wait for its writer.
    fd = openSync(join(directory, fileName), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return { kind: "absent" };
    return { kind: "unusable", reason: isErrno(error, "ELOOP") ? "it is a symlink" : messageOf(error) };
  }
  try {
    const facts = fstatSync(fd);
    if (!facts.isFile()) return { kind: "unusable", reason: "it is no file" };
    if (facts.size > byteLimit) return { kind: "unusable", reason: `it is larger than ${byteLimit} bytes` };
    return parse(JSON.parse(readFileSync(fd, "utf8")), name);
  } catch (error) {
    return { kind: "unusable", reason: messageOf(error) };
  } finally {
    closeSync(fd);
  }
}

/** @throws for options that no volume can have */
function parse(value: unknown, name: string): VolumeDescription {
  const unusable = (reason: string): VolumeDescription => ({ kind: "unusable", reason });
  if (!isObject(value)) return unusable("it is no JSON object");
  const options: Record<string, string> = {};
  for (const [option, key] of Object.entries(optionKeys)) {
    const text = value[key] ?? "";
    if (typeof text !== "string") return unusable(`${key} is no string`);
    if (text !== "") options[option] = text;
  }
  const quota = value["Quota"];
  if (isObject(quota) && (quota["Size"] ?? 0) !== 0) return unusable("it has a quota, which fathom does not know");
  parseMountOptions(options);
  const rowOptions = Object.keys(options).length === 0 ? null : options;
  const { Name, CreatedAt, Labels } = value;
  if (Name === undefined) return { kind: "docker", options: rowOptions };
  if (Name !== name) return unusable(`it is that of a volume ${JSON.stringify(Name)}`);
  if (typeof CreatedAt !== "string" || Number.isNaN(Date.parse(CreatedAt))) return unusable("CreatedAt is no time");
  if (Labels !== null && !isStringMap(Labels)) return unusable("Labels is no map of strings");
  return { kind: "own", row: { name, createdAt: CreatedAt, labels: Labels, options: rowOptions } };
}

/**
 * Writes the whole file under another name; `publishDescription` then only renames it. The row is written between these two calls: a crash
 * leaves a row without a description, which the next start writes, and never a description without a row.
 * @param durable Waits for the disk: then a power loss leaves nothing or all of the file.
 */
export function prepareDescription(directory: string, row: DescribedVolume, durable: boolean): void {
  const options = row.options ?? {};
  const docker = Object.fromEntries(Object.entries(optionKeys).map(([option, key]) => [key, options[option] ?? ""]));
  const own = { Name: row.name, CreatedAt: row.createdAt, Labels: row.labels };
  const bytes = Buffer.from(JSON.stringify({ ...docker, Quota: { Size: 0 }, ...own }));
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  const fd = openSync(join(directory, newName), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    if (durable) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

export function publishDescription(directory: string, durable: boolean): void {
  renameSync(join(directory, newName), join(directory, fileName));
  if (durable) for (const path of [directory, join(directory, "..")]) syncDirectory(path);
}

/** Removes what a crash left of a description that was not published. */
export function discardUnpublished(directory: string): void {
  rmSync(join(directory, newName), { force: true });
}
