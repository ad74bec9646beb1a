/**
 * Volumes: names for data that outlives containers. `Volumes` has the names, the rows and who uses what; where the data is, is the business of a `VolumeDriver`.
 *
 * Life of a volume
 *   create → (mount → unmount)* → remove
 * - `Volumes.ensure` makes a volume where there is none. The driver makes the place, the row follows, then the volume is there.
 * - `acquire` and `release` are balanced, one pair for each run of a container. The driver sees `mount` at each `acquire`, and `unmount` when the last holder has released it.
 * - `remove` is refused while a container has the volume among its mounts, whether it runs or not.
 *
 * Order: for one volume, create, mount, unmount and remove come one after another. Different volumes never wait for each other, and whoever asks for a volume that exists
 * waits for nothing.
 *
 * Errors: EngineError. `not-found` for an unknown volume or driver, `conflict` for one that is in use or still mounted, `invalid-argument` for names and options,
 * `timeout` when a server does not answer, `resource-exhausted` when the disk is full.
 *
 * Abort: no call takes a signal. A driver ends each call by itself within a limit of its own, with `timeout`. What was asked may still happen afterwards (the server
 * of a mount comes back), so `unmount` and `remove` look for what is mounted, and not only for what they know of.
 */

/** Docker's mark of a volume that nobody named, as a label: it is in the rows, beside the data and in Docker's own folders. */
export const anonymousLabel = "com.docker.volume.anonymous";

/** A volume as it is kept: in the database, and beside its data where the driver does so. */
export interface VolumeRecord {
  readonly name: string;
  /** Name of its driver. */
  readonly driver: string;
  /** RFC 3339 with nanoseconds. */
  readonly createdAt: string;
  readonly labels: Readonly<Record<string, string>> | null;
  /** The driver's own; null for none. */
  readonly options: Readonly<Record<string, string>> | null;
}

// What a driver gives

/** The rows, for a driver's `recover`. Synchronous. */
export interface VolumeRecords {
  /** Of any driver. */
  get(name: string): VolumeRecord | undefined;
  /** Those of the driver that asks. */
  list(): readonly VolumeRecord[];
  /** @throws when the database cannot be written */
  put(record: VolumeRecord): void;
  delete(name: string): void;
}

/** A volume that is gone: what it had may take long to free. */
export interface RemovedVolume {
  /** Frees what it had. A crash before its end loses nothing: `recover` frees the rest. */
  free(): Promise<void>;
}

/**
 * Where the data of volumes is. The calls are those of Docker's volume plugins (Create, Remove, Mount, Unmount, Path, Get), so that such a plugin can be one.
 *
 * The caller promises that create, mount, unmount and remove of one volume come one after another.
 */
export interface VolumeDriver {
  /** "local". */
  readonly name: string;
  /** `global`: the same volume on all machines. */
  readonly scope: "local" | "global";
  /** Whether a volume can have this name and these options. @throws invalid-argument that names the option or the character */
  check(name: string, options: Readonly<Record<string, string>>): void;
  /**
   * At the daemon's start, once, before any other call: makes rows and data agree after a crash, or with a database of another time. It asks no server and waits for
   * nothing. A failure at one volume is logged and leaves that volume alone. @throws when the rows cannot be read or changed
   */
  recover(records: VolumeRecords): void;
  /**
   * Makes the place of the data. Data that is there already (of an older database) becomes the volume's.
   * @param record Called once, when nothing more can fail but for a reason that the next `recover` mends. It writes the row.
   * @throws what `record` throws, or what the place could not be made for; nothing new is left then
   */
  create(volume: VolumeRecord, record: () => void): Promise<void>;
  /** Host directory of the data, of a volume that does not exist too. */
  path(name: string): string;
  /** Makes the data usable at `path`. Called for each holder: a volume that is mounted already stays so. @throws invalid-argument, timeout; then it is not mounted */
  mount(volume: VolumeRecord): Promise<void>;
  /** No holder is left. A volume that is not mounted is no error. */
  unmount(volume: VolumeRecord): Promise<void>;
  /** Bytes on this machine's disk; 0 for what is elsewhere. */
  usage(volume: VolumeRecord): Promise<number>;
  /**
   * Takes the volume away, with its data.
   * @param forget Called once, when the data is out of the way. It deletes the row.
   * @throws what `forget` throws, or conflict when it is still mounted; the volume is as before then
   */
  remove(volume: VolumeRecord, forget: () => void): Promise<RemovedVolume>;
}

// What volumes give to others

export interface VolumeSettings {
  /** "" makes a new name (64 hex digits). */
  readonly name: string;
  /** "" is the default driver. */
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
  /** `anonymousLabel` among them marks a volume that nobody named. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface VolumeHandle {
  readonly name: string;
  readonly driver: string;
  /** Host directory of its data. */
  readonly mountpoint: string;
  readonly anonymous: boolean;
}

/** What containers need of volumes. */
export interface VolumeLookup {
  /**
   * Gives the volume, making it first where it is missing (the change `created` then).
   * @throws invalid-argument 'create bad/name: "bad/name" includes invalid characters for a local volume name, …'
   */
  ensure(settings: VolumeSettings): Promise<VolumeHandle>;
  get(name: string): VolumeHandle | undefined;
  /** Host directory of a volume's data, also of one that does not exist. */
  placeOf(name: string): string;
  volumeNames(): readonly string[];
  /**
   * Makes the volume usable (one with options is mounted). Balanced by `release`, also when it fails.
   * @throws timeout when the server of what is to be mounted does not answer
   */
  acquire(name: string, containerId: string): Promise<void>;
  /** Its last user gone, it is unmounted. Never rejects. */
  release(name: string, containerId: string): Promise<void>;
  /** Removes it when no container but this one uses it; true when it is gone. Used for `rm -v` and `--rm`. */
  removeIfUnused(name: string, containerId: string): Promise<boolean>;
}

/** A volume as views show it. */
export interface VolumeInfo extends VolumeRecord {
  readonly mountpoint: string;
  readonly scope: VolumeDriver["scope"];
}

export interface PrunedVolumes {
  readonly names: readonly string[];
  /** Bytes. */
  readonly reclaimed: number;
}

export interface Volumes extends VolumeLookup {
  /** @throws not-found "get x: no such volume" */
  describe(name: string): VolumeInfo;
  list(): readonly VolumeInfo[];
  /** @throws not-found, conflict "remove x: volume is in use - [ids]" */
  remove(name: string): Promise<void>;
  /** Removes those that no container has and that `wanted` says yes to. One that cannot be removed is logged and stays. */
  prune(wanted: (volume: VolumeInfo) => boolean): Promise<PrunedVolumes>;
  /** Bytes on this machine's disk. @throws timeout */
  usage(name: string): Promise<number>;
}

// What volumes are given

/** Which containers have which volumes among their mounts. */
export interface VolumeUses {
  /** Ids of the containers that have this volume among their mounts. */
  ofVolume(name: string): readonly string[];
  /** Names of all volumes that containers have, with how many have each: for lists, which would ask thousands of times. */
  volumesInUse(): ReadonlyMap<string, number>;
}

/** Published when the change is durable. */
export interface VolumeChange {
  readonly kind: "created" | "removed";
  readonly name: string;
  readonly driver: string;
}
