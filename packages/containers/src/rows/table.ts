/**
 * All containers: the map in memory that is read, and the rows that survive. Each change is written first and shown after; a
 * write that fails changes nothing, but for what has happened whether it can be written or not (`record`).
 */
import { EngineError } from "@fathom/base";
import type { Database, Migration } from "@fathom/store";
import { Container } from "../container.ts";
import type { UpgradeRecord } from "../contract.ts";
import { stateOfRow } from "../lifecycle/states.ts";
import { readHealth } from "../health/stored-health.ts";
import type { ContainerRecord } from "../record.ts";

const migrations: readonly Migration[] = [
  {
    version: 1,
    up: [
      // `fixed` is written at create, rename and update; `changing` at every change of state. Both are JSON of ContainerRecord's parts.
      `CREATE TABLE containers (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, fixed TEXT NOT NULL, changing TEXT NOT NULL) STRICT, WITHOUT ROWID`,
    ],
  },
  // The JSON of `fixed` has `spec` and `extension` from here on; rows of before are read as they are, and written anew with their next change.
  { version: 2, up: [] },
];

const changingKeys = [
  "state",
  "networks",
  "restartCount",
  "restartDelayMs",
  "stoppedByUser",
  "health",
  "pending",
] as const;
type ChangingKey = (typeof changingKeys)[number];
/** How long, and how many of, self-removed containers are remembered. */
const departedMs = 10_000;
const departedLimit = 1000;

interface Descriptions {
  write(record: ContainerRecord): void;
  writeLater(container: Container): void;
  remove(id: string): void;
}

export type ContainerPatch = Partial<Omit<ContainerRecord, "id">>;

export class ContainerTable {
  readonly #database: Database;
  readonly #descriptions: Descriptions | undefined;
  readonly #byId = new Map<string, Container>();
  readonly #byName = new Map<string, Container>();
  /** Names of containers that are being created: taken, and not yet to be found. */
  readonly #reserved = new Map<string, string>();

  /** Exit codes of containers that removed themselves a moment ago, by id and name. */
  readonly #departed = new Map<string, { readonly code: number; readonly name: string; readonly atMs: number }>();
  /** Inserted as "creating", and not shown yet. */
  readonly #creating = new Set<Container>();
  /** Rows that a dead daemon left half done, found by the constructor. */
  readonly unfinished: Container[] = [];
  /** Containers whose rows are behind: the disk was full, or the database is damaged. Any later change of one writes all of it. */
  readonly unwritten = new Set<Container>();
  /** Called for each that is added to them, with the reason. */
  onUnwritten: (error: unknown) => void = () => undefined;

  /**
   * @param upgrade For rows of an earlier version.
   * @param descriptions Kept in step with the rows: written after them, taken away before. */
  constructor(database: Database, upgrade: UpgradeRecord, descriptions?: Descriptions) {
    this.#database = database;
    this.#descriptions = descriptions;
    database.migrate("engine", migrations);
    for (const row of database.all("SELECT id, name, fixed, changing FROM containers")) {
      const record = parseRow(database, row, upgrade);
      const container = new Container(record, record.pending === undefined ? "unknown" : stateOfRow(record));
      // A half-made or half-removed one is not shown; the recovery takes it from here.
      if (record.pending !== undefined) {
        this.unfinished.push(container);
        continue;
      }
      this.#byId.set(record.id, container);
      this.#byName.set(record.name, container);
    }
  }

  list(): Container[] {
    return [...this.#byId.values()];
  }

  /** With those that are being created: what they hold is held. */
  listHolders(): Container[] {
    return [...this.#byId.values(), ...this.#creating];
  }

  byId(id: string): Container | undefined {
    return this.#byId.get(id);
  }

  nameTaken(name: string): string | undefined {
    return this.#byName.get(name)?.id ?? this.#reserved.get(name);
  }

  /**
   * Takes a name for a container that is being created; `insert` or `unreserve` ends it.
   * @throws conflict in Docker's words
   */
  reserve(name: string, id: string): void {
    const holder = this.nameTaken(name);
    if (holder !== undefined)
      throw new EngineError(
        "conflict",
        `Conflict. The container name "/${name}" is already in use by container "${holder}". You have to remove (or rename) that container to be able to reuse that name.`,
      );
    this.#reserved.set(name, id);
  }

  unreserve(name: string): void {
    this.#reserved.delete(name);
  }

  /**
   * By full id, by name (with or without a slash), by unique id prefix; in this order.
   * @throws not-found "No such container: X", invalid-argument for a prefix of several
   */
  find(nameOrId: string): Container {
    const exact = this.#byId.get(nameOrId) ?? this.#byName.get(nameOrId.replace(/^\//, ""));
    if (exact !== undefined) return exact;
    if (/^[0-9a-f]+$/.test(nameOrId)) {
      const found = this.list().filter((container) => container.id.startsWith(nameOrId));
      if (found.length > 1)
        throw new EngineError("invalid-argument", `multiple IDs found with provided prefix: ${nameOrId}`);
      if (found[0] !== undefined) return found[0];
    }
    throw new EngineError("not-found", `No such container: ${nameOrId}`);
  }

  /** Remembers the exit code of a container that removes itself (`--rm`): whoever waits for it may come a moment too late. */
  depart(container: Container, nowMs: number): void {
    for (const [id, { atMs }] of this.#departed)
      if (nowMs - atMs > departedMs || this.#departed.size >= departedLimit) this.#departed.delete(id);
    this.#departed.set(container.id, {
      code: container.record.state.exitCode,
      name: container.record.name,
      atMs: nowMs,
    });
  }

  /** The exit code of a container that has just removed itself, by id, id prefix or name; undefined for any other. */
  departed(nameOrId: string, nowMs: number): number | undefined {
    const name = nameOrId.replace(/^\//, "");
    for (const [id, entry] of [...this.#departed].toReversed())
      if (nowMs - entry.atMs <= departedMs && (entry.name === name || (name.length >= 12 && id.startsWith(name))))
        return entry.code;
    return undefined;
  }

  /**
   * The name must be reserved. A record with `pending: "creating"` is written and not shown until `publish`.
   * @param state "unknown" for one that may run
   */
  insert(record: ContainerRecord, state: "creating" | "unknown" = "creating"): Container {
    this.#write(record.spec.removeOnExit, () =>
      this.#database.run(
        "INSERT INTO containers (id, name, fixed, changing) VALUES (?, ?, ?, ?)",
        record.id,
        record.name,
        fixedPart(record),
        changingPart(record),
      ),
    );
    const container = new Container(record, state);
    if (record.pending !== "creating") {
      this.#descriptions?.write(record);
      this.#show(container);
    } else this.#creating.add(container);
    return container;
  }

  /** Shows a container that was inserted as "creating". */
  publish(container: Container, patch: ContainerPatch): void {
    const record: ContainerRecord = { ...container.record, ...patch, pending: undefined };
    this.#database.run(
      "UPDATE containers SET fixed = ?, changing = ? WHERE id = ?",
      fixedPart(record),
      changingPart(record),
      record.id,
    );
    this.#descriptions?.write(record);
    container.record = record;
    this.#show(container);
  }

  /** A power loss ends every run, and a container that removes itself with it: neither waits for the disk. */
  #write(relaxed: boolean, action: () => void): void {
    if (relaxed) this.#database.relaxed(action);
    else action();
  }

  #show(container: Container): void {
    this.#creating.delete(container);
    this.#byId.set(container.id, container);
    this.#byName.set(container.record.name, container);
    this.#reserved.delete(container.record.name);
  }

  /**
   * A change that has happened in the world: the record has it at once. False when the row could not be written, for whatever reason, and waits in `unwritten`.
   * Only what changes with a container's state may be in the patch.
   */
  record(container: Container, patch: Partial<Pick<ContainerRecord, ChangingKey>>): boolean {
    try {
      this.update(container, patch);
      return true;
    } catch (error) {
      container.record = { ...container.record, ...patch };
      this.unwritten.add(container);
      this.onUnwritten(error);
      return false;
    }
  }

  /** @throws resource-exhausted when the disk is full; then nothing has changed */
  update(container: Container, patch: ContainerPatch): void {
    const record: ContainerRecord = { ...container.record, ...patch };
    if (Object.keys(patch).every((key) => changingKeys.includes(key as ChangingKey)))
      this.#write(record.spec.removeOnExit || mayBeLost(container, record), () =>
        this.#database.run("UPDATE containers SET changing = ? WHERE id = ?", changingPart(record), record.id),
      );
    else {
      this.#database.run(
        "UPDATE containers SET name = ?, fixed = ?, changing = ? WHERE id = ?",
        record.name,
        fixedPart(record),
        changingPart(record),
        record.id,
      );
      this.#descriptions?.write(record);
    }
    this.unwritten.delete(container);
    const oldName = container.record.name;
    container.record = record;
    // Health changes with each look, and says nothing after a restart.
    if (Object.keys(patch).some((key) => key !== "health")) this.#descriptions?.writeLater(container);
    if (oldName !== record.name) {
      this.#byName.delete(oldName);
      this.#byName.set(record.name, container);
    }
  }

  delete(container: Container): void {
    // A daemon that dies here has the row, and writes the description again.
    this.#descriptions?.remove(container.id);
    this.#write(container.record.spec.removeOnExit, () =>
      this.#database.run("DELETE FROM containers WHERE id = ?", container.id),
    );
    this.unwritten.delete(container);
    this.#creating.delete(container);
    this.#byId.delete(container.id);
    if (this.#byName.get(container.record.name) === container) this.#byName.delete(container.record.name);
    this.#reserved.delete(container.record.name);
  }
}

/** What a power loss may take back without breaking a promise (docs/rfd/004). */
function mayBeLost({ record: before, forcedRemovals }: Container, after: ContainerRecord): boolean {
  if (before.pending !== after.pending || before.restartCount !== after.restartCount) return false;
  // The wish to stop says something to a restart policy alone.
  if (before.stoppedByUser !== after.stoppedByUser)
    return after.spec.restart.kind === "no" && before.state.status === after.state.status;
  return after.state.status === "running" || forcedRemovals > 0;
}

function changingPart(record: ContainerRecord): string {
  return JSON.stringify(Object.fromEntries(changingKeys.map((key) => [key, record[key]])));
}

/** What does not change with a container's state. */
export function fixedPart(record: ContainerRecord): string {
  return JSON.stringify(
    Object.fromEntries(Object.entries(record).filter(([key]) => !changingKeys.includes(key as ChangingKey))),
  );
}

/** Rows are only ever written by this file: their JSON is trusted to be a record, and only its frame is checked. */
function parseRow(database: Database, row: Record<string, unknown>, upgrade: UpgradeRecord): ContainerRecord {
  const { id, name, fixed, changing } = row;
  if (typeof id !== "string" || typeof name !== "string" || typeof fixed !== "string" || typeof changing !== "string")
    throw new EngineError("data-loss", `row of container ${JSON.stringify(id)} is not readable`);
  const [seldom, often] = [
    database.readObject(`container ${name}`, fixed, ["mounts"]),
    database.readObject(`container ${name}`, changing, ["state", "networks"]),
  ];
  const record = { ...seldom, ...often, id, name, health: readHealth(often["health"]) };
  if ("spec" in record) return record as unknown as ContainerRecord;
  database.readObject(`container ${name}`, fixed, ["config", "hostConfig"]);
  return upgrade(record);
}
