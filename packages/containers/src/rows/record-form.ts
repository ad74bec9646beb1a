/**
 * The stored form of a record: two JSON texts in its row (one with members that seldom change, one with members that change with the
 * container's state), and its description. What the owner of the extension derives is not stored (docs/rfd/006): a daemon of a later version
 * derives it again, with the members that its own version knows.
 */
import type { Database } from "@fathom/store";
import { EngineError, messageOf } from "@fathom/base";
import { decodeDocument, type JsonObject } from "@fathom/spec";
import type { RecordOwner } from "../contract.ts";
import type { ContainerRecord } from "../record.ts";
import { decodedRecord, type StoredRecord } from "./stored-record.ts";

const changingKeys = [
  "state",
  "networks",
  "restartCount",
  "restartDelayMs",
  "stoppedByUser",
  "health",
  "pending",
] as const;
/** Members that change with a container's state. */
export type ChangingKey = (typeof changingKeys)[number];

export function isChanging(key: string): boolean {
  return changingKeys.some((one) => one === key);
}

export class RecordForm {
  readonly #owner: RecordOwner;

  constructor(owner: RecordOwner) {
    this.#owner = owner;
  }

  /** All members, for a description. */
  stored(record: ContainerRecord): object {
    if (this.#owner.specOf === undefined) return record;
    const { spec: _derived, ...rest } = record;
    return rest;
  }

  /** The members that do not change with a container's state. */
  fixedPart(record: ContainerRecord): string {
    return JSON.stringify(Object.fromEntries(Object.entries(this.stored(record)).filter(([key]) => !isChanging(key))));
  }

  changingPart(record: ContainerRecord): string {
    return JSON.stringify(Object.fromEntries(changingKeys.map((key) => [key, record[key]])));
  }

  /**
   * `what` names the stored value in errors; `remedy` says what the user can do.
   * @throws data-loss when the value is not a record, or the owner does not know its extension
   */
  #read(stored: JsonObject, what: string, remedy: string): ContainerRecord {
    const { specOf, upgrade } = this.#owner;
    const present = "spec" in stored || "extension" in stored ? stored : upgrade(stored);
    const unreadable = (message: string, cause?: unknown): EngineError =>
      new EngineError("data-loss", `${message}; ${remedy}`, { cause });
    let record: StoredRecord;
    try {
      record = decodeDocument(decodedRecord, present, what);
    } catch (error) {
      throw unreadable(messageOf(error), error);
    }
    let { spec } = record;
    try {
      if (specOf !== undefined) spec = specOf(record);
    } catch (error) {
      throw unreadable(`${what}: ${messageOf(error)}`, error);
    }
    if (spec === undefined) throw unreadable(`${what}: it has no spec`);
    return { ...record, spec };
  }

  /** The record of the description at `path`. @throws data-loss that names the file */
  readDescribed(stored: JsonObject, path: string): ContainerRecord {
    return this.#read(
      stored,
      `the description ${path} cannot be read`,
      "repair the file, or remove it: a container without row and description is removed as a leftover",
    );
  }

  /** @throws data-loss that names the row */
  readRow(database: Pick<Database, "readObject">, row: JsonObject): ContainerRecord {
    const { id, name, fixed, changing } = row;
    if (typeof id !== "string" || typeof name !== "string" || typeof fixed !== "string" || typeof changing !== "string")
      throw new EngineError("data-loss", `row of container ${JSON.stringify(id)} is not readable`);
    const what = `container ${name}`;
    const seldom = database.readObject(what, fixed, ["mounts"]);
    const often = database.readObject(what, changing, ["state", "networks"]);
    if (!("spec" in seldom) && !("extension" in seldom)) database.readObject(what, fixed, ["config", "hostConfig"]);
    return this.#read(
      { ...seldom, ...often, id, name },
      `the row of ${what} cannot be read`,
      "--rebuild-database makes the rows again from the descriptions beside the data",
    );
  }
}
