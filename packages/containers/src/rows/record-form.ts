/**
 * The stored form of a record: two JSON texts in its row (one with members that seldom change, one with members that change with the
 * container's state), and its description. What the owner of the extension derives is not stored (docs/rfd/006): a daemon of a later version
 * derives it again, with the members that its own version knows.
 */
import type { Database } from "@fathom/store";
import { EngineError } from "@fathom/base";
import type { RecordOwner } from "../contract.ts";
import { readHealth } from "../health/stored-health.ts";
import type { ContainerRecord } from "../record.ts";
import { readAttachments } from "./stored-networks.ts";

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
  return changingKeys.includes(key as ChangingKey);
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

  /** Only this package writes it, so the stored value is trusted to be a record. @throws data-loss when the owner does not know the extension */
  read(stored: Readonly<Record<string, unknown>>): ContainerRecord {
    const { specOf, upgrade } = this.#owner;
    const record = ("spec" in stored || "extension" in stored ? stored : upgrade(stored)) as unknown as ContainerRecord;
    return {
      ...record,
      spec: specOf === undefined ? record.spec : specOf(record),
      networks: readAttachments(record.networks),
      health: readHealth(record.health),
    };
  }

  /** @throws data-loss that names the row */
  readRow(database: Pick<Database, "readObject">, row: Readonly<Record<string, unknown>>): ContainerRecord {
    const { id, name, fixed, changing } = row;
    if (typeof id !== "string" || typeof name !== "string" || typeof fixed !== "string" || typeof changing !== "string")
      throw new EngineError("data-loss", `row of container ${JSON.stringify(id)} is not readable`);
    const what = `container ${name}`;
    const seldom = database.readObject(what, fixed, ["mounts"]);
    const often = database.readObject(what, changing, ["state", "networks"]);
    if (!("spec" in seldom) && !("extension" in seldom)) database.readObject(what, fixed, ["config", "hostConfig"]);
    return this.read({ ...seldom, ...often, id, name });
  }
}
