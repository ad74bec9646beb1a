/** In-memory replacements for what the containers need from outside, so that tests need no root. Processes are promises that the test ends. */
import { mkdirSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createLogger, EngineError, systemClock, type Clock, type Logger } from "@fathom/base";
import { Faults } from "@fathom/base/testing";
import type { Endpoint, NetworkManager } from "@fathom/network";
import { createFakeNetworks, FakeHost } from "@fathom/network/testing";
import type { Cgroups, Launcher, Resources } from "@fathom/runtime";
import { FakeCgroups, FakeLauncher, type FakeProcess } from "@fathom/runtime/testing";
import { sha256Digest, type ChainId } from "@fathom/spec";
import { openDatabase, type Database, type SqlValue, type Store } from "@fathom/store";
import { FakeSnapshotter, FakeStore } from "@fathom/store/testing";
import { SysError, type HostFiles, type Sys } from "@fathom/sys";
import { createVolumes, type VolumeLookup, type VolumeUses } from "@fathom/volumes";
import { MemoryVolumes } from "@fathom/volumes/testing";
import type { ImageLookup, MountableImage } from "../contract.ts";

/** The writable layers of the fake machine, on its one image. */
class MachineSnapshotter extends FakeSnapshotter {
  readonly #machine: FakeMachine;

  constructor(machine: FakeMachine) {
    super();
    this.#machine = machine;
    if (fakeImage.topLayer !== undefined) this.addChain(fakeImage.topLayer);
  }

  override async usage(_key: string): Promise<number> {
    this.#machine.onUsage();
    return 10;
  }

  override openChain(top: ChainId | undefined): number {
    const fd = super.openChain(top);
    this.#machine.openFds++;
    return fd;
  }
}

/** The one image of the fakes: "busybox". */
export const fakeImage: MountableImage = {
  id: sha256Digest("busybox"),
  topLayer: sha256Digest("layer") as string as ChainId,
};

const usedByNobody: VolumeUses = { ofVolume: () => [], volumesInUse: () => new Map() };

/** The machine that outlives daemons: processes by their directory. */
export class FakeMachine {
  /**
   * Lets any call fail or hang. The groups are "launcher", "stem", "supervisor", "cgroups", "cgroup", "networks", "sandbox", "database",
   * "containers" (the store's), "images", "volumes", "sys"; for example "supervisor.signal".
   */
  readonly faults = new Faults();
  /** Of every daemon. */
  clock: Clock = systemClock;
  readonly #launcher = new FakeLauncher({
    faults: this.faults,
    onOpen: () => this.openFds++,
    onClose: () => this.openFds--,
  });
  readonly #cgroups = new FakeCgroups({
    faults: this.faults,
    occupants: (path) => (this.emptyCgroups.has(path) ? [] : [process.pid]),
    kill: (path) => {
      for (const [directory, one] of this.processes) if (directory.includes(basename(path))) one.end(137);
    },
  });
  readonly processes = this.#launcher.processes;
  readonly cgroups = this.#cgroups.paths;
  /** Cgroups without processes: what a stem of a dead daemon leaves. Any other cgroup contains this process. */
  readonly emptyCgroups = new Set<string>();
  readonly frozen = this.#cgroups.frozen;
  /** Limits, in the order in which they were set. */
  readonly applied: readonly Resources[] = this.#cgroups.applied;
  readonly host = new FakeHost();
  readonly endpoints: Map<string, Endpoint> = this.host.endpoints;
  readonly snapshots = new MachineSnapshotter(this);
  readonly #volumes = new MemoryVolumes();
  readonly volumes = this.#volumes.volumes;
  /** "VOLUME CONTAINER" for each that holds a volume: of the present daemon, since the next one asks again for what runs on. */
  readonly volumeHolds = new Set<string>();
  /** It stays when a daemon ends. */
  readonly database = openDatabase(":memory:");
  /** Whether a write at this moment need not wait for the disk. */
  isRelaxed = false;
  /** The error with which every change of a row fails, or a function that gives an error for some changes. */
  failWrites: Error | ((sql: string, parameters: readonly SqlValue[]) => Error | undefined) | undefined;
  /** Called when the size of a container's layer is read. */
  onUsage: () => void = () => undefined;
  openFds = 0;
  /** Targets of what daemons have mounted, without the volumes' own. */
  readonly mounts = new Set<string>();
  /** What daemons have logged as a warning or worse, one JSON object per line. */
  readonly logged: string[] = [];

  get failLaunch(): Error | undefined {
    return this.#launcher.failLaunch;
  }

  set failLaunch(error: Error | undefined) {
    this.#launcher.failLaunch = error;
  }

  /** Holds every launch until `goOn`. */
  get launching(): FakeLauncher["launching"] {
    return this.#launcher.launching;
  }

  set launching(launching: FakeLauncher["launching"]) {
    this.#launcher.launching = launching;
  }

  get onLaunch(): () => void {
    return this.#launcher.onLaunch;
  }

  set onLaunch(action: () => void) {
    this.#launcher.onLaunch = action;
  }

  /** Whether runs have an identity: the process of the test. */
  get hasIdentities(): boolean {
    return this.#launcher.hasIdentities;
  }

  set hasIdentities(have: boolean) {
    this.#launcher.hasIdentities = have;
  }

  /** For every cgroup. */
  get oomKills(): number {
    return this.#cgroups.oomKills;
  }

  set oomKills(count: number) {
    this.#cgroups.oomKills = count;
  }

  latest(): FakeProcess {
    return [...this.processes.values()].at(-1)!;
  }

  /** Waits end after a few milliseconds, however long they should be. */
  hurry(): void {
    this.clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 20), signal) };
  }

  logger(): Logger {
    return createLogger("warn", { write: (line) => void this.logged.push(line) }, "json");
  }

  launcher(): Launcher {
    return this.#launcher.open();
  }

  cgroupsApi(): Cgroups {
    return this.#cgroups.api();
  }

  networks(): NetworkManager {
    return createFakeNetworks(this.host, this.faults);
  }

  store(root: string): Store {
    const database = this.faults.wrap("database", this.#databaseOfOneDaemon());
    return new FakeStore({ root, database, faults: this.faults, snapshots: this.snapshots });
  }

  /** Its writes can fail, and its end leaves the database open. */
  #databaseOfOneDaemon(): Database {
    const { database } = this;
    return {
      migrate: (component, migrations) => database.migrate(component, migrations),
      run: (sql, ...parameters) => {
        const error = typeof this.failWrites === "function" ? this.failWrites(sql, parameters) : this.failWrites;
        if (error !== undefined) throw error;
        return database.run(sql, ...parameters);
      },
      all: (sql, ...parameters) => database.all(sql, ...parameters),
      get: (sql, ...parameters) => database.get(sql, ...parameters),
      transaction: (action) => database.transaction(action),
      relaxed: (action) => {
        this.isRelaxed = true;
        try {
          return database.relaxed(action);
        } finally {
          this.isRelaxed = false;
        }
      },
      readObject: (row, text, members) => database.readObject(row, text, members),
      check: () => database.check(),
      close: () => undefined,
    };
  }

  images(): ImageLookup {
    const images: ImageLookup = {
      lookup: (name) => {
        if (name === "busybox") return fakeImage;
        throw new EngineError("not-found", `No such image: ${name}`);
      },
    };
    return this.faults.wrap("images", images);
  }

  /** Checks paths at once; mounts nothing. */
  files(): HostFiles {
    const files: HostFiles = {
      kindOf: async (path) => {
        const stat = statSync(path, { throwIfNoEntry: false });
        return stat === undefined ? undefined : stat.isDirectory() ? "directory" : "other";
      },
      makeDirectory: async (path) => void mkdirSync(path, { recursive: true }),
      realPath: async (path) => realpathSync(path),
      checkBeneath: async () => undefined,
      mount: async () => undefined,
      unmount: async () => undefined,
      sync: async () => undefined,
      remove: async (path) => rmSync(path, { recursive: true, force: true }),
      isMounted: () => false,
      isLocal: () => true,
      readTree: () => {
        throw new Error("these tests read no trees");
      },
      writeTree: () => {
        throw new Error("these tests write no trees");
      },
    };
    return this.faults.wrap("files", files);
  }

  /** The volumes of one daemon. The stored volumes stay when the daemon ends. */
  volumesApi(uses: VolumeUses = usedByNobody): VolumeLookup {
    this.volumeHolds.clear();
    const volumes = createVolumes({
      drivers: [this.#volumes.driver(new Faults(), "local")],
      defaultDriver: "local",
      database: this.database,
      uses,
      onChange: () => undefined,
      clock: systemClock,
      logger: this.logger(),
    });
    const faulty = this.faults.wrap("volumes", volumes);
    // A container holds a volume from the call on: also after an `acquire` that fails, `release` must be called.
    return {
      ensure: (settings) => faulty.ensure(settings),
      get: (name) => faulty.get(name),
      placeOf: (name) => faulty.placeOf(name),
      volumeNames: () => faulty.volumeNames(),
      acquire: (name, containerId) => {
        this.volumeHolds.add(`${name} ${containerId}`);
        return faulty.acquire(name, containerId);
      },
      release: (name, containerId) => {
        this.volumeHolds.delete(`${name} ${containerId}`);
        return faulty.release(name, containerId);
      },
      removeIfUnused: (name, containerId) => faulty.removeIfUnused(name, containerId),
    };
  }

  sys(): Sys {
    const methods: Partial<Sys> = {
      openOverlay: () => {
        this.openFds++;
        return 88;
      },
      close: () => void this.openFds--,
      open: () => {
        this.openFds++;
        return 89;
      },
      openat2: () => {
        throw new SysError("openat2", 2);
      },
      // A mount without a type changes an existing one.
      mount: (_source, target, type) => void (type === "" || this.mounts.add(target)),
      moveMount: (_fd, _directory, target) => void this.mounts.add(String(target)),
      umount: (target) => {
        if (!this.mounts.delete(target)) throw new SysError("umount", 22);
      },
    };
    return this.faults.wrap("sys", methods as Sys);
  }
}

/** Writes a line to the container's log, as a supervisor does. */
export function writeLogLine(path: string, text: string): void {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, `${JSON.stringify({ log: text, stream: "stdout", time: new Date().toISOString() })}\n`, {
    flag: "a",
  });
}

export function removeTree(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
