/**
 * Volumes of the driver `local`: a row and a directory `volumes/<name>/_data` each. A row is written after its directory, and removed
 * after that was moved to where it says so; the start finishes both. A volume that the database does not know is taken up from its own
 * description (description.ts); other directories without a row are left alone and said.
 */
import { existsSync, mkdirSync, readdirSync, realpathSync, renameSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { EngineError, formatRfc3339Nano, isEngineError, KeyedMutex, messageOf, randomId } from "@fathom/base";
import type { Filters, PruneReport, Volume, VolumeCreateRequest, VolumeListResponse } from "@fathom/spec";
import { isSysError } from "@fathom/sys";
import type { VolumeHandle, VolumeLookup, VolumeSettings } from "@fathom/containers/contract";
import type { EngineParts } from "../engine.ts";
import { checkFilterKeys, filterValues, hasLabel, matchesLabels } from "../filters.ts";
import { compilePattern } from "../patterns.ts";
import { treeSize } from "@fathom/volumes/local/tree-size";
import {
  discardUnpublished,
  prepareDescription,
  publishDescription,
  readDescription,
  type VolumeRow,
} from "@fathom/volumes/local/description";
import { finishFilling } from "@fathom/volumes/first-use/filling";
import { MS_BIND, MS_REMOUNT, parseMountOptions } from "@fathom/volumes/local/mount-options";

/** Docker's mark of a volume that nobody named. */
const anonymousLabel = "com.docker.volume.anonymous";

/** Where the directories of removed volumes are moved. Made in advance: removing must not need space. */
const removing = ".removing";
/** What the kernel has against a volume's device, type or options. */
const optionErrors = [
  "ENOENT",
  "EINVAL",
  "ENODEV",
  "ENOTBLK",
  "ENXIO",
  "ENOTDIR",
  "ELOOP",
  "ENAMETOOLONG",
  "EACCES",
  "EPERM",
  "EBUSY",
  "EROFS",
  "EPROTO",
  "EOPNOTSUPP",
] as const;

export interface VolumeBackend {
  volumeList(filters: Filters): Promise<VolumeListResponse>;
  volumeCreate(body: VolumeCreateRequest): Promise<Volume>;
  volumeInspect(name: string): Promise<Volume>;
  volumeRemove(name: string, force: boolean): Promise<void>;
  volumePrune(filters: Filters): Promise<PruneReport>;
}

export type Volumes = VolumeBackend & VolumeLookup & { volumeUsage(name: string): Promise<number> };

export function createVolumes(parts: EngineParts): Volumes {
  return new LocalVolumes(parts);
}

class LocalVolumes implements Volumes {
  readonly #parts: EngineParts;
  readonly #root: string;
  readonly #realRoot: string;
  readonly #rows = new Map<string, VolumeRow>();
  /** Containers that run with a volume, for volumes that are mounts. */
  readonly #users = new Map<string, Set<string>>();
  /** Mounting, unmounting and removing one volume happen one after another. */
  readonly #mutex = new KeyedMutex();

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#root = join(parts.config.dataRoot, "volumes");
    // Container users other than root walk through it.
    mkdirSync(this.#root, { recursive: true, mode: 0o711 });
    mkdirSync(join(this.#root, removing), { recursive: true, mode: 0o700 });
    this.#realRoot = realpathSync(this.#root);
    const { database } = parts.store;
    database.migrate("volumes", [
      { version: 1, up: ["CREATE TABLE volumes (name TEXT PRIMARY KEY, data TEXT NOT NULL) STRICT, WITHOUT ROWID"] },
    ]);
    for (const { name, data } of database.all("SELECT name, data FROM volumes")) {
      const row = database.readObject(`volume ${String(name)}`, data, ["name", "createdAt"]) as unknown as VolumeRow;
      this.#rows.set(row.name, row);
    }
    const unusable = this.#compareWithDescriptions();
    this.#sweep(unusable);
  }

  /** Rows and descriptions agree afterwards. Gives the reasons of those that could not be used, by name. */
  #compareWithDescriptions(): ReadonlyMap<string, string> {
    const unusable = new Map<string, string>();
    const names = readdirSync(this.#root);
    for (const name of names) {
      if (name === removing) continue;
      const row = this.#rows.get(name);
      try {
        const found = readDescription(join(this.#root, name), name);
        if (found.kind === "own" && found.row.createdAt === row?.createdAt) continue;
        if (found.kind === "own" || (found.kind === "docker" && row === undefined)) {
          checkName(name);
          this.#takeUp(found.kind === "own" ? found.row : { ...this.#newRow(name), options: found.options });
          if (found.kind === "own") continue;
        } else if (row === undefined) {
          if (found.kind === "unusable") unusable.set(name, found.reason);
          continue;
        } else if (found.kind === "unusable")
          this.#parts.logger.warn("the description of a volume cannot be used and is written anew", {
            volume: name,
            reason: found.reason,
          });
        this.#describe(this.#rows.get(name)!);
      } catch (error) {
        unusable.set(name, messageOf(error));
      }
    }
    const present = new Set(names);
    for (const name of this.#rows.keys())
      if (!present.has(name) && !existsSync(join(this.#root, removing, name))) this.#makeAgain(name);
    return unusable;
  }

  #takeUp(row: VolumeRow): void {
    const before = this.#rows.has(row.name);
    this.#insert(row);
    this.#parts.logger.warn(
      before
        ? "another volume of this name was in the database (an older backup?): what lies beside the data counts"
        : "a volume was not in the database (an older backup?) and is taken up from its description",
      { volume: row.name },
    );
  }

  /** Of a row without a directory: the database is older than the volume's removal, or somebody took the directory away. */
  #makeAgain(name: string): void {
    try {
      mkdirSync(this.#mountpoint(name), { recursive: true, mode: 0o755 });
      this.#describe(this.#rows.get(name)!);
      this.#parts.logger.warn("the directory of a volume was gone: the volume is empty now", { volume: name });
    } catch (error) {
      this.#parts.logger.error("the directory of a volume is gone and cannot be made", {
        volume: name,
        error: messageOf(error),
      });
    }
  }

  /** A failure is logged: the row is what counts while it is there. */
  #describe(row: VolumeRow): void {
    const directory = join(this.#root, row.name);
    try {
      prepareDescription(directory, row, false);
      publishDescription(directory, false);
    } catch (error) {
      this.#parts.logger.warn("the description of a volume cannot be written", {
        volume: row.name,
        error: messageOf(error),
      });
    }
  }

  #newRow(name: string): VolumeRow {
    return { name, createdAt: formatRfc3339Nano(this.#parts.clock.nowNs()), labels: null, options: null };
  }

  #insert(row: VolumeRow): void {
    this.#parts.store.database.run(
      "INSERT INTO volumes (name, data) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET data = excluded.data",
      row.name,
      JSON.stringify(row),
    );
    this.#rows.set(row.name, row);
  }

  #sweep(unusable: ReadonlyMap<string, string>): void {
    for (const name of readdirSync(join(this.#root, removing))) {
      if (this.#rows.has(name) && !existsSync(join(this.#root, name))) this.#forget(name);
      this.#free(name, join(this.#root, removing, name));
    }
    for (const name of this.#rows.keys()) {
      try {
        const waste = finishFilling(this.#parts.sys, join(this.#root, name));
        if (waste === undefined) continue;
        const gone = join(this.#root, removing, randomId());
        renameSync(waste, gone);
        this.#free(name, gone);
      } catch (error) {
        this.#parts.logger.error("the first content of a volume could not be finished", {
          volume: name,
          error: messageOf(error),
        });
      }
    }
    for (const name of readdirSync(this.#root)) {
      if (this.#rows.has(name) || name === removing) continue;
      const reason = unusable.get(name);
      if (reason !== undefined) {
        this.#parts.logger.error(
          "a volume that is not in the database has an opts.json that cannot be used: it is left alone; mend the file, or create a volume of this name, which takes the data over",
          { volume: name, reason },
        );
        continue;
      }
      try {
        discardUnpublished(join(this.#root, name));
        removeDirectory(join(this.#root, name, "_data"));
        removeDirectory(join(this.#root, name));
      } catch (error) {
        this.#parts.logger.warn("a directory among the volumes is no volume and is left alone", {
          name,
          error: messageOf(error),
        });
      }
    }
  }

  #free(name: string, path: string): void {
    this.#parts.files
      .remove(path)
      .catch((error: unknown) =>
        this.#parts.logger.warn("the files of a removed volume cannot be freed", { name, error: messageOf(error) }),
      );
  }

  #forget(name: string): void {
    this.#parts.store.database.run("DELETE FROM volumes WHERE name = ?", name);
    this.#rows.delete(name);
  }

  placeOf(name: string): string {
    return this.#mountpoint(name);
  }

  #mountpoint(name: string): string {
    return join(this.#root, name, "_data");
  }

  /** As the kernel names it, should the data root be a symlink. */
  #mountTarget(name: string): string {
    return join(this.#realRoot, name, "_data");
  }

  #handle(row: VolumeRow): VolumeHandle {
    return {
      name: row.name,
      driver: "local",
      mountpoint: this.#mountpoint(row.name),
      anonymous: row.labels !== null && anonymousLabel in row.labels,
    };
  }

  ensure(settings: VolumeSettings): VolumeHandle {
    const name = settings.name === "" ? randomId() : settings.name;
    const known = this.#rows.get(name);
    if (known !== undefined) {
      this.#checkSame(known, settings);
      return this.#handle(known);
    }
    const fail = (error: unknown): EngineError =>
      error instanceof EngineError
        ? new EngineError(error.code, `create ${name}: ${error.message}`, { cause: error })
        : new EngineError("internal", `create ${name}: ${messageOf(error)}`, { cause: error });
    if (settings.driver !== "" && settings.driver !== "local")
      throw new EngineError(
        "not-found",
        `create ${name}: error looking up volume plugin ${settings.driver}: plugin ${JSON.stringify(settings.driver)} not found`,
      );
    try {
      checkName(name);
      parseMountOptions(settings.options);
    } catch (error) {
      throw fail(error);
    }
    const row: VolumeRow = {
      ...this.#newRow(name),
      labels: Object.keys(settings.labels).length === 0 ? null : settings.labels,
      options: Object.keys(settings.options).length === 0 ? null : settings.options,
    };
    try {
      this.#make(row);
    } catch (error) {
      throw fail(error);
    }
    this.#parts.events.publish("volume", "create", name, { driver: "local" });
    return this.#handle(row);
  }

  /** Directory, description, row. @throws when one of them fails; then nothing new is left */
  #make(row: VolumeRow): void {
    const directory = join(this.#root, row.name);
    // That of an anonymous one need not outlive a power cut: its container's description names it.
    const durable = row.labels === null || !(anonymousLabel in row.labels);
    const made: string[] = [];
    try {
      for (const path of [directory, this.#mountpoint(row.name)]) if (makeDirectory(path)) made.unshift(path);
      prepareDescription(directory, row, durable);
      this.#insert(row);
    } catch (error) {
      for (const undo of [() => discardUnpublished(directory), ...made.map((path) => () => rmdirSync(path))])
        try {
          undo();
        } catch {
          // It was not made, or the next start tries again.
        }
      throw error;
    }
    try {
      publishDescription(directory, durable);
    } catch (error) {
      // The volume is there; the next start gives its description.
      this.#parts.logger.warn("the description of a volume cannot be written", {
        volume: row.name,
        error: messageOf(error),
      });
    }
  }

  /** Asking for a volume that exists with other options is an error; labels are as they were. */
  #checkSame(known: VolumeRow, settings: VolumeSettings): void {
    if (settings.driver !== "" && settings.driver !== "local")
      throw new EngineError(
        "conflict",
        `create ${known.name}: a volume named ${known.name} already exists with the driver local`,
      );
    // What it is asked for with must make sense, though it changes nothing.
    parseMountOptions(settings.options);
  }

  get(name: string): VolumeHandle | undefined {
    const row = this.#rows.get(name);
    return row === undefined ? undefined : this.#handle(row);
  }

  async acquire(name: string, containerId: string): Promise<void> {
    const row = this.#find(name);
    const users = this.#users.get(name) ?? new Set();
    users.add(containerId);
    this.#users.set(name, users);
    if (row.options !== null) await this.#mutex.run(name, () => this.#mount(row));
  }

  async release(name: string, containerId: string): Promise<void> {
    const users = this.#users.get(name);
    if (users === undefined || !users.delete(containerId) || users.size > 0) return;
    this.#users.delete(name);
    if (!this.#rows.get(name)?.options) return;
    await this.#mutex.run(name, async () => {
      // It may have a new user by now.
      if (!this.#users.has(name)) await this.#unmount(name);
    });
  }

  async #mount(row: VolumeRow): Promise<void> {
    const options = parseMountOptions(row.options ?? {});
    const target = this.#mountTarget(row.name);
    // A daemon before this one may have mounted it for a container that runs on.
    const { files } = this.#parts;
    if (options === undefined || files.isMounted(target)) return;
    try {
      await files.mount(options.device, target, options.type, options.flags, options.data);
      // A bind takes further flags only by a remount.
      if ((options.flags & MS_BIND) !== 0 && (options.flags & 0xf) !== 0)
        await files.mount("", target, "", options.flags | MS_REMOUNT, "");
    } catch (error) {
      const reason = isSysError(error)
        ? error.message.replace(/^[^:]*: /, "").replace(/ \(E[A-Z0-9]+\)$/, "")
        : messageOf(error);
      throw new EngineError(
        isEngineError(error, "timeout")
          ? "timeout"
          : isSysError(error, ...optionErrors)
            ? "invalid-argument"
            : "internal",
        `error while mounting volume '${target}': failed to mount local volume: mount ${options.device}:${target}, flags: 0x${options.flags.toString(16)}: ${isSysError(error) ? reason.toLowerCase() : reason}`,
        { cause: error },
      );
    }
  }

  async #unmount(name: string): Promise<void> {
    try {
      await this.#parts.files.unmount(this.#mountTarget(name));
    } catch (error) {
      this.#parts.logger.warn("unmounting a volume failed", { volume: name, error: messageOf(error) });
    }
  }

  volumeNames(): readonly string[] {
    return [...this.#rows.keys()];
  }

  #find(name: string): VolumeRow {
    const row = this.#rows.get(name);
    if (row === undefined) throw new EngineError("not-found", `get ${name}: no such volume`);
    return row;
  }

  async removeIfUnused(name: string, containerId: string): Promise<boolean> {
    const row = this.#rows.get(name);
    if (row === undefined) return true;
    if (this.#usersBut(name, containerId).length > 0) return false;
    try {
      await this.#remove(row, containerId);
    } catch (error) {
      // Somebody has taken it, or removed it, since it was looked at.
      if (isEngineError(error, "conflict") && this.#usersBut(name, containerId).length > 0) return false;
      if (!isEngineError(error, "not-found")) throw error;
    }
    return true;
  }

  #usersBut(name: string, but: string | undefined): string[] {
    return this.#parts.uses.ofVolume(name).filter((id) => id !== but);
  }

  /** @param but A container that does not count. */
  #remove(row: VolumeRow, but?: string): Promise<void> {
    return this.#mutex.run(row.name, () => this.#removeNow(row, but));
  }

  async #removeNow(row: VolumeRow, but: string | undefined): Promise<void> {
    if (row.options !== null) {
      await this.#unmount(row.name);
      // What is mounted there is not this engine's to remove.
      if (this.#parts.files.isMounted(this.#mountTarget(row.name)))
        throw new EngineError(
          "conflict",
          `remove ${row.name}: volume is still mounted on ${this.#mountpoint(row.name)} and cannot be unmounted: try again`,
        );
    }
    // Whoever asked for it has waited since: it may be gone, or another container's by now. From here on nobody comes between.
    if (this.#rows.get(row.name)?.createdAt !== row.createdAt)
      throw new EngineError("not-found", `get ${row.name}: no such volume`);
    const users = this.#usersBut(row.name, but);
    if (users.length > 0)
      throw new EngineError("conflict", `remove ${row.name}: volume is in use - [${users.join(", ")}]`);
    const directory = join(this.#root, row.name);
    const known = join(this.#root, removing, row.name);
    // The files of one that had the name before may still be on their way out.
    const gone = existsSync(known) ? join(this.#root, removing, randomId()) : known;
    const moved = existsSync(directory);
    if (moved) renameSync(directory, gone);
    try {
      this.#forget(row.name);
    } catch (error) {
      if (moved) renameSync(gone, directory);
      throw error;
    }
    this.#parts.events.publish("volume", "destroy", row.name, { driver: "local" });
    await this.#parts.files.remove(gone);
  }

  async volumeCreate(body: VolumeCreateRequest): Promise<Volume> {
    const anonymous = body.Name === "";
    const handle = this.ensure({
      name: body.Name,
      driver: body.Driver,
      options: body.DriverOpts ?? {},
      labels: anonymous ? { ...body.Labels, [anonymousLabel]: "" } : (body.Labels ?? {}),
    });
    return this.#show(this.#find(handle.name));
  }

  async volumeInspect(name: string): Promise<Volume> {
    return this.#show(this.#find(name));
  }

  async volumeList(filters: Filters): Promise<VolumeListResponse> {
    checkFilterKeys(filters, ["dangling", "driver", "label", "name"]);
    const dangling = danglingFilter(filters);
    const any = (key: string, test: (value: string) => boolean): boolean => {
      const values = filterValues(filters, key);
      return values.length === 0 || values.some(test);
    };
    const names = filterValues(filters, "name").map(nameTest);
    const inUse = dangling === undefined ? undefined : this.#parts.uses.volumesInUse();
    const found = [...this.#rows.values()].filter(
      (row) =>
        (names.length === 0 || names.some((matches) => matches(row.name))) &&
        any("driver", (value) => value === "local") &&
        matchesLabels(row.labels ?? {}, filterValues(filters, "label")) &&
        (inUse === undefined || dangling !== inUse.has(row.name)),
    );
    return { Volumes: found.map((row) => this.#show(row)), Warnings: null };
  }

  async volumeRemove(name: string, force: boolean): Promise<void> {
    const row = this.#rows.get(name);
    if (row === undefined) {
      if (force) return;
      throw new EngineError("not-found", `get ${name}: no such volume`);
    }
    const users = this.#parts.uses.ofVolume(name);
    if (users.length > 0) throw new EngineError("conflict", `remove ${name}: volume is in use - [${users.join(", ")}]`);
    await this.#remove(row);
  }

  async volumePrune(filters: Filters): Promise<PruneReport> {
    checkFilterKeys(filters, ["all", "label", "label!"]);
    const all = filterValues(filters, "all").map(parseAll).some(Boolean);
    const without = filterValues(filters, "label!");
    const deleted: string[] = [];
    let reclaimed = 0;
    const inUse = this.#parts.uses.volumesInUse();
    for (const row of this.#rows.values()) {
      if (inUse.has(row.name)) continue;
      const labels = row.labels ?? {};
      if (!all && !(anonymousLabel in labels)) continue;
      if (this.#parts.uses.ofVolume(row.name).length > 0) continue;
      if (!matchesLabels(labels, filterValues(filters, "label"))) continue;
      if (without.length > 0 && without.every((label) => hasLabel(labels, label))) continue;
      try {
        reclaimed += await this.volumeUsage(row.name);
        await this.#remove(row);
        deleted.push(row.name);
      } catch (error) {
        this.#parts.logger.warn("pruning a volume failed", { volume: row.name, error: messageOf(error) });
      }
    }
    this.#parts.events.publish("volume", "prune", "", { reclaimed: String(reclaimed) });
    return { VolumesDeleted: deleted, SpaceReclaimed: reclaimed };
  }

  async volumeUsage(name: string): Promise<number> {
    const path = this.#mountpoint(name);
    // A volume that is another file system's is not this engine's disk.
    if (this.#rows.get(name)?.options) return 0;
    try {
      return await treeSize(this.#parts.files.readTree, path);
    } catch (error) {
      if (isSysError(error, "ENOENT")) return 0;
      throw error;
    }
  }

  #show(row: VolumeRow): Volume {
    return {
      CreatedAt: row.createdAt.replace(/\.\d+Z$/, "Z"),
      Driver: "local",
      Labels: row.labels,
      Mountpoint: this.#mountpoint(row.name),
      Name: row.name,
      Options: row.options,
      Scope: "local",
    };
  }
}

/** False where it is there already, perhaps with something mounted on it: that is not looked at, its server may be away. */
function makeDirectory(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o755 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  }
}

/** As `makeDirectory`: it may be gone already. */
function removeDirectory(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

function checkName(name: string): void {
  if (name.length === 1)
    throw new EngineError(
      "invalid-argument",
      "volume name is too short, names should be at least two alphanumeric characters",
    );
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name))
    throw new EngineError(
      "invalid-argument",
      `${JSON.stringify(name)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
  if (name.length > 255)
    throw new EngineError("invalid-argument", "volume name is too long, at most 255 characters are allowed");
}

function parseAll(value: string): boolean {
  if (/^(1|t|true)$/i.test(value)) return true;
  if (/^(0|f|false)$/i.test(value)) return false;
  throw new EngineError(
    "invalid-argument",
    `invalid filter 'all': strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`,
  );
}

function danglingFilter(filters: Filters): boolean | undefined {
  const values = filterValues(filters, "dangling");
  if (values.length === 0) return undefined;
  if (values.length === 1) {
    if (/^(1|t|true)$/i.test(values[0]!)) return true;
    if (/^(0|f|false)$/i.test(values[0]!)) return false;
  }
  throw new EngineError("invalid-argument", `invalid filter 'dangling=[${values.join(" ")}]'`);
}

/** A regular expression over the name; what is none is looked for as text. */
function nameTest(value: string): (name: string) => boolean {
  let pattern: ((text: string) => boolean) | undefined;
  try {
    pattern = compilePattern(value);
  } catch {
    pattern = undefined;
  }
  return pattern ?? ((name) => name.includes(value));
}
