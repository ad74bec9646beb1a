/**
 * The local driver at the daemon's start: afterwards rows and directories agree. A volume that the database does not have is added from its
 * description. What a crash left half made is removed; what a removal left is freed; other directories are left alone and logged.
 */
import { existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { formatRfc3339Nano, messageOf, randomId, type Clock, type Logger } from "@fathom/base";
import type { HostFiles, Sys } from "@fathom/sys";
import type { VolumeRecord, VolumeRecords } from "../contract.ts";
import { finishFilling } from "../first-use/filling.ts";
import {
  discardUnpublished,
  prepareDescription,
  publishDescription,
  readDescription,
  type DescribedVolume,
} from "./description.ts";
import { removeDirectory, removingName, type LocalPlace } from "./place.ts";
import { checkVolumeName } from "./volume-name.ts";

export interface RecoveryParts {
  /** Name of this driver. */
  readonly driver: string;
  readonly place: LocalPlace;
  readonly sys: Sys;
  readonly files: HostFiles;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function recoverLocal(parts: RecoveryParts, records: VolumeRecords): void {
  const unusable = compareWithDescriptions(parts, records);
  freeRemoved(parts, records);
  finishFirstUses(parts, records);
  sweep(parts, records, unusable);
}

/** Makes rows and descriptions agree. Returns the reasons for those that could not be used, by name. */
function compareWithDescriptions(parts: RecoveryParts, records: VolumeRecords): ReadonlyMap<string, string> {
  const { place, logger } = parts;
  const unusable = new Map<string, string>();
  const names = readdirSync(place.root);
  for (const name of names)
    if (name !== removingName)
      try {
        const reason = compare(parts, records, name);
        if (reason !== undefined) unusable.set(name, reason);
      } catch (error) {
        unusable.set(name, messageOf(error));
      }
  const present = new Set(names);
  for (const row of records.list()) {
    if (present.has(row.name) || existsSync(place.removing(row.name))) continue;
    // The database is older than the volume's removal, or somebody removed the directory.
    try {
      mkdirSync(place.data(row.name), { recursive: true, mode: 0o755 });
      describe(parts, row);
      logger.warn("the directory of a volume was gone: the volume is empty now", { volume: row.name });
    } catch (error) {
      logger.error("the directory of a volume is gone and cannot be made", {
        volume: row.name,
        error: messageOf(error),
      });
    }
  }
  return unusable;
}

/** One directory. Returns why its description cannot be used when there is no row either. @throws the same, and when the row cannot be written */
function compare(parts: RecoveryParts, records: VolumeRecords, name: string): string | undefined {
  const row = records.get(name);
  if (row !== undefined && row.driver !== parts.driver) return undefined;
  const found = readDescription(parts.place.directory(name), name);
  switch (found.kind) {
    case "own":
      if (found.row.createdAt === row?.createdAt) return undefined;
      checkVolumeName(name);
      takeUp(parts, records, found.row);
      return undefined;
    case "docker":
      if (row === undefined) {
        checkVolumeName(name);
        const createdAt = formatRfc3339Nano(parts.clock.nowNs());
        describe(parts, takeUp(parts, records, { name, createdAt, labels: null, options: found.options }));
      } else describe(parts, row);
      return undefined;
    case "unusable":
      if (row === undefined) return found.reason;
      parts.logger.warn("the description of a volume cannot be used and is written anew", {
        volume: name,
        reason: found.reason,
      });
      describe(parts, row);
      return undefined;
    case "absent":
      if (row !== undefined) describe(parts, row);
      return undefined;
  }
}

function takeUp({ driver, logger }: RecoveryParts, records: VolumeRecords, found: DescribedVolume): VolumeRecord {
  const before = records.get(found.name);
  const row = { ...found, driver };
  records.put(row);
  logger.warn(
    before === undefined
      ? "a volume was not in the database (an older backup?) and was added from its description"
      : "another volume of this name was in the database (an older backup?): what lies beside the data counts",
    { volume: row.name },
  );
  return row;
}

/** A failure is only logged: while the row exists, the row counts. */
function describe({ place, logger }: RecoveryParts, row: VolumeRecord): void {
  const directory = place.directory(row.name);
  try {
    prepareDescription(directory, row, false);
    publishDescription(directory, false);
  } catch (error) {
    logger.warn("the description of a volume cannot be written", { volume: row.name, error: messageOf(error) });
  }
}

function freeRemoved(parts: RecoveryParts, records: VolumeRecords): void {
  const { place } = parts;
  for (const name of readdirSync(place.removing())) {
    // A crash happened between the two steps of a removal.
    if (records.get(name)?.driver === parts.driver && !existsSync(place.directory(name))) records.delete(name);
    free(parts, name, place.removing(name));
  }
}

function finishFirstUses(parts: RecoveryParts, records: VolumeRecords): void {
  const { place, sys, logger } = parts;
  for (const { name } of records.list()) {
    try {
      finishFilling(sys, place.directory(name), (waste) => {
        const gone = place.removing(randomId());
        renameSync(waste, gone);
        free(parts, name, gone);
      });
    } catch (error) {
      logger.error("the first content of a volume could not be finished", { volume: name, error: messageOf(error) });
    }
  }
}

/** Directories without a row. */
function sweep({ place, logger }: RecoveryParts, records: VolumeRecords, unusable: ReadonlyMap<string, string>): void {
  for (const name of readdirSync(place.root)) {
    if (records.get(name) !== undefined || name === removingName) continue;
    const reason = unusable.get(name);
    if (reason !== undefined) {
      logger.error(
        "a volume that is not in the database has an opts.json that cannot be used: it is left alone; mend the file, or create a volume of this name, which takes the data over",
        { volume: name, reason },
      );
      continue;
    }
    try {
      discardUnpublished(place.directory(name));
      removeDirectory(place.data(name));
      removeDirectory(place.directory(name));
    } catch (error) {
      logger.warn("a directory among the volumes is no volume and is left alone", { name, error: messageOf(error) });
    }
  }
}

/** Runs in the background. */
function free({ files, logger }: RecoveryParts, name: string, path: string): void {
  files
    .remove(path)
    .catch((error: unknown) =>
      logger.warn("the files of a removed volume cannot be freed", { name, error: messageOf(error) }),
    );
}
