/**
 * All containers: the map in memory, which is read, and the rows, which survive. Each change is first written and then shown. A write that
 * fails changes nothing; the exception is `record`, for changes that have already happened, whether the row can be written or not.
 */
import type { Database, Migration } from "@fathom/store";
import { Container } from "../container.ts";
import { stateOfRow } from "../lifecycle/states.ts";
import { ContainerProblem } from "../problem.ts";
import type { ContainerRecord } from "../record.ts";
import { Departed } from "./departed.ts";
import { isChanging, type ChangingKey, type RecordForm } from "./record-form.ts";

const migrations: readonly Migration[] = [
  {
    version: 1,
    up: [
      // `fixed` is written at create, rename and update; `changing` at every change of state. Both are JSON with members of ContainerRecord.
      `CREATE TABLE containers (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, fixed TEXT NOT NULL, changing TEXT NOT NULL) STRICT, WITHOUT ROWID`,
    ],
  },
  // From here on, the JSON of `fixed` has `spec` and `extension`. Older rows are read as they are, and get the new form with their next change.
  { version: 2, up: [] },
  // From here on, it has `spec` only when `spec` is not derived from `extension`, and `health` has no terms of Docker.
  { version: 3, up: [] },
];

interface Descriptions {
  write(record: ContainerRecord): void;
  writeLater(container: Container): void;
  remove(id: string): void;
}

export type ContainerPatch = Partial<Omit<ContainerRecord, "id">>;

export class ContainerTable {
  readonly #database: Database;
  readonly #form: RecordForm;
  readonly #descriptions: Descriptions | undefined;
  readonly #byId = new Map<string, Container>();
  readonly #byName = new Map<string, Container>();
  /** Names of containers that are being created: the names are taken, but the containers cannot be found yet. */
  readonly #reserved = new Map<string, string>();

  readonly departed = new Departed();
  /** Inserted as "creating", and not visible yet. */
  readonly #creating = new Set<Container>();
  /** Rows that a dead daemon left half done; the constructor finds them. */
  readonly unfinished: Container[] = [];
  /** Containers whose rows are out of date, because the disk was full or the database is damaged. Any later change of a container writes everything. */
  readonly unwritten = new Set<Container>();
  /** Called for each container that is added to them, with the reason. */
  onUnwritten: (error: unknown) => void = () => undefined;

  /**
   * @param form The stored form of a record.
   * @param descriptions Kept equal to the rows: written after them, removed before them.
   */
  constructor(database: Database, form: RecordForm, descriptions?: Descriptions) {
    this.#database = database;
    this.#form = form;
    this.#descriptions = descriptions;
    database.migrate("engine", migrations);
    for (const row of database.all("SELECT id, name, fixed, changing FROM containers")) {
      const record = form.readRow(database, row);
      const container = new Container(record, record.pending === undefined ? "unknown" : stateOfRow(record));
      // A half-made or half-removed container is not visible; the recovery handles it from here.
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

  /** Includes those that are being created, because what they hold is in use. */
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
   * Takes a name for a container that is being created; `insert` or `unreserve` ends the reservation.
   * @throws ContainerProblem "name-taken"
   */
  reserve(name: string, id: string): void {
    const holder = this.nameTaken(name);
    if (holder !== undefined) throw new ContainerProblem({ kind: "name-taken", name, holder });
    this.#reserved.set(name, id);
  }

  unreserve(name: string): void {
    this.#reserved.delete(name);
  }

  /** The link with this name, "web/db": `parent` is linked to the container with the id `target`. */
  findLink(name: string): { readonly parent: Container; readonly alias: string; readonly target: string } | undefined {
    const [, owner = "", alias = ""] = /^\/?([^/]+)\/([^/]+)$/.exec(name) ?? [];
    const parent = this.#byName.get(owner);
    const link = parent?.record.links?.find((each) => each.alias === alias);
    return parent === undefined || link === undefined ? undefined : { parent, alias, target: link.container };
  }

  /**
   * By full id, by name (with or without a slash), by the name of a link to it ("web/db"), by unique id prefix; in this order.
   * @throws ContainerProblem "no-such-container", or "several-containers" for a prefix that several ids have
   */
  find(nameOrId: string): Container {
    const link = this.findLink(nameOrId);
    const exact =
      this.#byId.get(nameOrId) ??
      this.#byName.get(nameOrId.replace(/^\//, "")) ??
      (link === undefined ? undefined : this.#byId.get(link.target));
    if (exact !== undefined) return exact;
    if (/^[0-9a-f]+$/.test(nameOrId)) {
      const found = this.list().filter((container) => container.id.startsWith(nameOrId));
      if (found.length > 1) throw new ContainerProblem({ kind: "several-containers", prefix: nameOrId });
      if (found[0] !== undefined) return found[0];
    }
    throw new ContainerProblem({ kind: "no-such-container", name: nameOrId });
  }

  /**
   * The name must be reserved. A record with `pending: "creating"` is written but not visible before `publish`.
   * @param state "unknown" for a container that may run
   */
  insert(record: ContainerRecord, state: "creating" | "unknown" = "creating"): Container {
    this.#write(record.spec.removeOnExit, () =>
      this.#database.run(
        "INSERT INTO containers (id, name, fixed, changing) VALUES (?, ?, ?, ?)",
        record.id,
        record.name,
        this.#form.fixedPart(record),
        this.#form.changingPart(record),
      ),
    );
    const container = new Container(record, state);
    if (record.pending !== "creating") {
      this.#descriptions?.write(record);
      this.#show(container);
    } else this.#creating.add(container);
    return container;
  }

  /** Makes a container visible that was inserted as "creating". */
  publish(container: Container, patch: ContainerPatch): void {
    const record: ContainerRecord = { ...container.record, ...patch, pending: undefined };
    this.#database.run(
      "UPDATE containers SET fixed = ?, changing = ? WHERE id = ?",
      this.#form.fixedPart(record),
      this.#form.changingPart(record),
      record.id,
    );
    this.#descriptions?.write(record);
    container.record = record;
    this.#show(container);
  }

  /** A power loss ends every run, and removes a container with --rm too: neither write waits for the disk. */
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
   * For a change that has already happened: the record has it at once. Returns false when the row could not be written, for whatever reason,
   * and waits in `unwritten`.
   * The patch may only have members that change with a container's state.
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
    if (Object.keys(patch).every(isChanging))
      this.#write(record.spec.removeOnExit || mayBeLost(container, record), () =>
        this.#database.run(
          "UPDATE containers SET changing = ? WHERE id = ?",
          this.#form.changingPart(record),
          record.id,
        ),
      );
    else {
      this.#database.run(
        "UPDATE containers SET name = ?, fixed = ?, changing = ? WHERE id = ?",
        record.name,
        this.#form.fixedPart(record),
        this.#form.changingPart(record),
        record.id,
      );
      this.#descriptions?.write(record);
    }
    this.unwritten.delete(container);
    const oldName = container.record.name;
    container.record = record;
    // Health changes with each check, and means nothing after a restart.
    if (Object.keys(patch).some((key) => key !== "health")) this.#descriptions?.writeLater(container);
    if (oldName !== record.name) {
      this.#byName.delete(oldName);
      this.#byName.set(record.name, container);
    }
  }

  delete(container: Container): void {
    // If the daemon dies here, the row exists, and the next daemon writes the description again.
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

/** Changes that a power loss may undo without breaking a promise (docs/rfd/004). */
function mayBeLost({ record: before, forcedRemovals }: Container, after: ContainerRecord): boolean {
  if (before.pending !== after.pending || before.restartCount !== after.restartCount) return false;
  // Only a restart policy reads that the user wanted the stop.
  if (before.stoppedByUser !== after.stoppedByUser)
    return after.spec.restart.kind === "no" && before.state.status === after.state.status;
  return after.state.status === "running" || forcedRemovals > 0;
}
