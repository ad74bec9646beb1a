/**
 * Volumes: names for data that lives longer than containers. `Volumes` has the names, the rows and the users; a `VolumeDriver` decides where
 * the data is.
 *
 * Life of a volume
 *   create → (mount → unmount)* → remove
 * - `Volumes.ensure` makes a volume if there is none. The driver makes the place, then the row is written, then the volume exists.
 * - `acquire` and `release` come in pairs, one pair for each run of a container. The driver gets `mount` at each `acquire`, and `unmount` when
 *   the last holder has released it.
 * - `remove` is rejected while a container has the volume among its mounts, whether it runs or not.
 *
 * Order: for one volume, create, mount, unmount and remove happen one after another. Different volumes never wait for each other. A caller that
 * asks for an existing volume waits for nothing.
 *
 * Errors: EngineError. `not-found` for an unknown volume or driver, `conflict` for one that is in use or still mounted, `invalid-argument` for
 * names and options, `timeout` when a server does not answer, `resource-exhausted` when the disk is full.
 *
 * Abort: no call has a signal. A driver ends each call by itself within a limit of its own, with `timeout`. The requested work may still happen
 * afterwards (the server of a mount answers again). So `unmount` and `remove` check what is really mounted, and not only what they remember.
 */

/** Docker's label for a volume that nobody named. It is in the rows, in the file beside the data and in Docker's own folders. */
export const anonymousLabel = "com.docker.volume.anonymous";

/** A volume as it is stored: in the database, and by some drivers also beside its data. */
export interface VolumeRecord {
  readonly name: string;
  /** Name of its driver. */
  readonly driver: string;
  /** RFC 3339 with nanoseconds. */
  readonly createdAt: string;
  readonly labels: Readonly<Record<string, string>> | null;
  /** The driver's own options; null for none. */
  readonly options: Readonly<Record<string, string>> | null;
}

// What a driver provides

/** The rows, for a driver's `recover`. Synchronous. */
export interface VolumeRecords {
  /** Rows of any driver. */
  get(name: string): VolumeRecord | undefined;
  /** Rows of the calling driver. */
  list(): readonly VolumeRecord[];
  /** @throws when the database cannot be written */
  put(record: VolumeRecord): void;
  delete(name: string): void;
}

/** A removed volume whose data may take long to free. */
export interface RemovedVolume {
  /** Frees its data. A crash before the end does no harm: `recover` frees the rest. */
  free(): Promise<void>;
}

/**
 * Stores the data of volumes. The calls are those of Docker's volume plugins (Create, Remove, Mount, Unmount, Path, Get), so that such a plugin
 * can be a driver.
 *
 * The caller promises that create, mount, unmount and remove of one volume happen one after another.
 */
export interface VolumeDriver {
  /** "local". */
  readonly name: string;
  /** `global`: the same volume on all machines. */
  readonly scope: "local" | "global";
  /** Whether a volume can have this name and these options. @throws invalid-argument; the message names the option or the character */
  check(name: string, options: Readonly<Record<string, string>>): void;
  /**
   * Called once at the daemon's start, before any other call: makes rows and data agree after a crash, or with an older or newer database. It
   * asks no server and waits for nothing. A failure at one volume is logged and leaves that volume unchanged. @throws when the rows cannot be
   * read or changed
   */
  recover(records: VolumeRecords): void;
  /**
   * Makes the place of the data. Existing data (of an older database) becomes the volume's.
   * @param record Called once, when only failures are possible that the next `recover` repairs. It writes the row.
   * @throws the error of `record`, or the reason why the place could not be made; then nothing new is left
   */
  create(volume: VolumeRecord, record: () => void): Promise<void>;
  /** Host directory of the data, also of a volume that does not exist. */
  path(name: string): string;
  /**
   * Makes the data usable at `path`. Called for each holder: a volume that is mounted already stays mounted. @throws invalid-argument, timeout;
   * then it is not mounted
   */
  mount(volume: VolumeRecord): Promise<void>;
  /** No holder is left. If the volume is not mounted, that is no error. */
  unmount(volume: VolumeRecord): Promise<void>;
  /** Bytes on this machine's disk; 0 for data elsewhere. */
  usage(volume: VolumeRecord): Promise<number>;
  /**
   * Removes the volume with its data.
   * @param forget Called once, when the data is out of the way. It deletes the row.
   * @throws the error of `forget`, or conflict when it is still mounted; then the volume has not changed
   */
  remove(volume: VolumeRecord, forget: () => void): Promise<RemovedVolume>;
}

// What volumes provide to others

export interface VolumeSettings {
  /** "" makes a new name (64 hex digits). */
  readonly name: string;
  /** "" is the default driver. */
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
  /** With `anonymousLabel` among them, nobody named the volume. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface VolumeHandle {
  readonly name: string;
  readonly driver: string;
  /** Host directory of its data. */
  readonly mountpoint: string;
  readonly anonymous: boolean;
}

/** What containers need from volumes. */
export interface VolumeLookup {
  /**
   * Returns the volume, and makes it if it does not exist (then `created` is published).
   * @throws invalid-argument 'create bad/name: "bad/name" includes invalid characters for a local volume name, …'
   */
  ensure(settings: VolumeSettings): Promise<VolumeHandle>;
  get(name: string): VolumeHandle | undefined;
  /** Host directory of a volume's data, also of one that does not exist. */
  placeOf(name: string): string;
  volumeNames(): readonly string[];
  /**
   * Makes the volume usable (one with options is mounted). Each call needs one `release`, also when it fails.
   * @throws timeout when the server of the mount does not answer
   */
  acquire(name: string, containerId: string): Promise<void>;
  /** When its last user has gone, it is unmounted. Never rejects. */
  release(name: string, containerId: string): Promise<void>;
  /** Removes it when no container except this one uses it; true when it was removed. Used for `rm -v` and `--rm`. */
  removeIfUnused(name: string, containerId: string): Promise<boolean>;
}

/** A volume as clients see it. */
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
  /** Removes the volumes that no container has and for which `wanted` returns true. One that cannot be removed is logged and stays. */
  prune(wanted: (volume: VolumeInfo) => boolean): Promise<PrunedVolumes>;
  /** Bytes on this machine's disk. @throws timeout */
  usage(name: string): Promise<number>;
}

// What volumes need from others

/** Which containers have which volumes among their mounts. */
export interface VolumeUses {
  /** Ids of the containers that have this volume among their mounts. */
  ofVolume(name: string): readonly string[];
  /** Names of all volumes that containers have, and how many containers have each: for lists, which would ask thousands of times. */
  volumesInUse(): ReadonlyMap<string, number>;
}

/** Published when the change is durable. */
export interface VolumeChange {
  readonly kind: "created" | "removed";
  readonly name: string;
  readonly driver: string;
}
