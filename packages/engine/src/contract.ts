/**
 * The engine: what a container is between two requests. It owns the rows, the states and their changes; how a process is started
 * is the runtime's business, what a layer is the store's, how packets flow the network's.
 *
 * The folder has two halves. The container half (`engine.ts`, `container-*.ts`, `exec*.ts`, `events.ts`, …) is written against this file;
 * the image half (`images/`, `pull/`, `image-archive/`), the volume half (`volumes/`) and the translation to OCI (`oci/`) implement the
 * small interfaces below, so that neither half imports the other's files. `engine.ts` alone puts them together.
 *
 * Errors: EngineError with Docker's words. Every change of a row is one transaction; the map in memory is the read path.
 */
import type {
  ChainId,
  ContainerConfig,
  ContainerCreateRequest,
  Digest,
  ExecCreateRequest,
  HostConfig,
  ImageConfig,
  LinuxResources,
  LinuxSeccomp,
  OciProcess,
  OciSpec,
} from "@fathom/spec";
import type { ContainerRecord } from "./container.ts";

/** Limits on what one process may open or lock: `nofile`, `nproc`, … -1 is no limit. */
export interface UlimitSetting {
  readonly Name: string;
  readonly Soft: number;
  readonly Hard: number;
}

/** What the daemon's flags and daemon.json decide for the engine. */
export interface EngineConfig {
  /** State that survives: `/var/lib/fathom`. */
  readonly dataRoot: string;
  /** Sockets and pids: `/run/fathom`. */
  readonly execRoot: string;
  readonly cgroupParent: string;
  readonly logDriver: string;
  readonly logOptions: Readonly<Record<string, string>>;
  readonly defaultUlimits: readonly UlimitSetting[];
  readonly defaultShmSizeBytes: number;
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly hostGatewayIps: readonly string[];
  /** Containers run on through a graceful stop of the daemon. */
  readonly liveRestore: boolean;
  /** Seconds that a graceful stop waits for containers without a stop timeout of their own. */
  readonly shutdownTimeoutSeconds: number;
  readonly maxConcurrentDownloads: number;
  readonly maxConcurrentUploads: number;
  readonly noNewPrivileges: boolean;
  readonly init: boolean;
  /** Path of a seccomp profile, "unconfined", or "" for the built-in one. */
  readonly seccompProfile: string;
  readonly labels: readonly string[];
  readonly experimental: boolean;
  readonly debug: boolean;
  /** As given to the daemon; the environment's where absent. */
  readonly proxy?: { readonly http?: string; readonly https?: string; readonly no?: string };
  readonly insecureRegistries: readonly string[];
  readonly registryMirrors: readonly string[];
  /** Stems kept ready, 0 to make each when it is asked for. */
  readonly stemPoolSize: number;
  readonly version: string;
  readonly gitCommit: string;
  readonly buildTime: string;
}

// What the halves give each other

export type EventType = "container" | "image" | "volume" | "network" | "daemon" | "builder";

/** Events are numbered by time and kept in a ring; nothing waits for a listener. */
export interface EventPublisher {
  publish(type: EventType, action: string, actorId: string, attributes: Readonly<Record<string, string>>): void;
}

/** What containers hold on to. Asked by the image half before a removal and by the volume half likewise. */
export interface ContainerUses {
  /** Containers made from this image, running or not. */
  ofImage(id: Digest): readonly { readonly id: string; readonly running: boolean; readonly imageName: string }[];
  /** Ids of the containers that have this volume among their mounts. */
  ofVolume(name: string): readonly string[];
  /** Names of all volumes that containers have, with how many have each: for lists, which would ask thousands of times. */
  volumesInUse(): ReadonlyMap<string, number>;
}

export interface LocalImage {
  readonly id: Digest;
  readonly config: ImageConfig;
  /** Topmost chain id; undefined for an image without layers. */
  readonly topLayer: ChainId | undefined;
}

/** A new image from a container's writable layer. */
export interface LayerImageRequest {
  readonly containerId: string;
  readonly parent: Digest;
  readonly config: NonNullable<ImageConfig["config"]>;
  readonly repository: string | undefined;
  readonly tag: string | undefined;
  readonly author: string;
  readonly comment: string;
  readonly createdBy: string;
}

/** The part of the image half that the container half needs. */
export interface ImageLookup {
  /**
   * An image by name, name@digest, id or unique id prefix, as the user typed it.
   * @throws not-found "No such image: busybox:1.99" (with the tag that was meant), invalid-argument "invalid reference format…"
   */
  lookup(name: string): LocalImage;
  /** By id; undefined when it was removed meanwhile. */
  byId(id: Digest): LocalImage | undefined;
  /** `name` is what it is called now, as users write it: "kept:1". */
  commit(request: LayerImageRequest): Promise<{ readonly id: Digest; readonly name: string | undefined }>;
}

export interface VolumeSettings {
  /** "" makes a new name (64 hex digits) and marks the volume anonymous. */
  readonly name: string;
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

export interface VolumeHandle {
  readonly name: string;
  readonly driver: string;
  /** Host directory of its data. */
  readonly mountpoint: string;
  readonly anonymous: boolean;
}

/** The part of the volume half that the container half needs. */
export interface VolumeLookup {
  /**
   * Gives the volume, making it first where it is missing (event "create" then).
   * @throws invalid-argument 'create bad/name: "bad/name" includes invalid characters for a local volume name, …'
   */
  ensure(settings: VolumeSettings): VolumeHandle;
  get(name: string): VolumeHandle | undefined;
  volumeNames(): readonly string[];
  /**
   * Makes the volume usable (one with options is mounted) and publishes nothing. Balanced by `release`, also when it fails.
   * @throws timeout when the server of what is to be mounted does not answer
   */
  acquire(name: string, containerId: string): Promise<void>;
  /** Its last user gone, it is unmounted. Never rejects. */
  release(name: string, containerId: string): Promise<void>;
  /** Removes it when no container but this one uses it; true when it is gone. Used for `rm -v` and `--rm`. */
  removeIfUnused(name: string, containerId: string): Promise<boolean>;
}

/** One mount of a container with everything decided: input of the OCI translation, and what inspect shows. */
export interface MountPoint {
  readonly type: "bind" | "volume" | "tmpfs" | "image";
  /** Volume name; undefined for others. */
  readonly name: string | undefined;
  /** Host path; "" for tmpfs. */
  readonly source: string;
  readonly destination: string;
  readonly driver: string | undefined;
  /** As inspect shows it: "z", "ro", "". */
  readonly mode: string;
  readonly readWrite: boolean;
  readonly propagation: string;
  /** A volume is filled from the image's content on first use. */
  readonly copyData: boolean;
  /** Inside the volume or the image; "" for its root. */
  readonly subpath: string;
  /** Of type "image": the image as it was asked for, its id, and the row that holds its layers while the container is there. */
  readonly image?: { readonly reference: string; readonly id: string; readonly layer: string } | undefined;
  /** A missing source is made (`-v`), or is an error (`--mount`). */
  readonly createSource: boolean;
  /** Bind without submounts. */
  readonly nonRecursive: boolean;
  /** Submounts stay writable under a read-only bind. */
  readonly readOnlyNonRecursive: boolean;
  readonly readOnlyForceRecursive: boolean;
  /** tmpfs options as mount(8) writes them: "size=64k", "mode=1770", "exec". */
  readonly tmpfsOptions: readonly string[];
  /** From the image's VOLUME or `-v /path`: not listed in HostConfig. */
  readonly anonymous: boolean;
}

/** Namespace files (`/proc/<pid>/ns/net`) of other containers that one joins. */
export interface JoinedNamespaces {
  readonly network: string | undefined;
  readonly uts: string | undefined;
  readonly pid: string | undefined;
  readonly ipc: string | undefined;
}

/** Defaults of HostConfig that depend on the machine. */
export interface MachineDefaults {
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  /** A container has a cgroup namespace of its own. */
  readonly privateCgroups: boolean;
}

/** The part of `oci/` that the container half needs: Docker's configuration as an OCI one. */
export interface OciTranslation {
  readonly defaults: MachineDefaults;
  /**
   * Checks that need nothing but the configuration and this machine's abilities. `request` is what the client sent, absent for update.
   * Gives warnings ("Your kernel does not support …").
   * @throws invalid-argument in Docker's words
   */
  validate(
    config: ContainerConfig,
    hostConfig: HostConfig,
    request: ContainerCreateRequest | undefined,
  ): readonly string[];
  /** @throws invalid-argument, not-found ("unable to find user …"), internal (a device that is not there) in Docker's words */
  containerSpec(input: {
    readonly record: ContainerRecord;
    /** The mounted root, for /etc/passwd and /etc/group. */
    readonly rootFd: number;
    readonly namespaces: JoinedNamespaces;
    /** Host paths bound over /etc/hosts, /etc/hostname and /etc/resolv.conf. */
    readonly files: { readonly hosts: string; readonly hostname: string; readonly resolvConf: string };
    readonly hostname: string;
    /** Host path of another container's /dev/shm; undefined for its own. */
    readonly sharedMemory: string | undefined;
  }): Promise<OciSpec>;
  execProcess(input: {
    readonly record: ContainerRecord;
    readonly request: ExecCreateRequest;
    readonly command: readonly string[];
    /** Host pid of the container's first process: users are looked up in its root. */
    readonly pid: number;
  }): Promise<{ readonly process: OciProcess; readonly seccomp: LinuxSeccomp | undefined }>;
  resources(hostConfig: HostConfig): LinuxResources;
}
