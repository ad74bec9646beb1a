/**
 * The engine: what a container is between two requests. It owns the rows, the states and their changes; how a process is started
 * is the runtime's business, what a layer is the store's, how packets flow the network's.
 *
 * The package has parts. What is about containers (`engine.ts`, `containers/`, `commit/`, `system/`) is written against this file;
 * the parts of images (`images/`), volumes (`volumes/`) and the translation to OCI (`oci/`) implement the
 * small interfaces below, so that no part imports another's files. `engine.ts` alone puts them together.
 *
 * Errors: EngineError with Docker's words. Every change of a row is one transaction; the map in memory is the read path.
 */
import type {
  ContainersConfig,
  ContainersParts,
  ContainerTranslation,
  EventPublisher,
  ImageLookup,
} from "@fathom/containers";
import type { LocalImage } from "@fathom/images";
import type {
  ContainerConfig,
  ContainerCreateRequest,
  Digest,
  HostConfig,
  ImageConfig,
  LinuxResources,
  Platform,
} from "@fathom/spec";
import type { VolumeLookup, VolumeUses } from "@fathom/volumes";
import type { ImageBackend, SystemBackend, VolumeBackend } from "./backend.ts";

/** Limits on what one process may open or lock: `nofile`, `nproc`, … -1 is no limit. */
export interface UlimitSetting {
  readonly Name: string;
  readonly Soft: number;
  readonly Hard: number;
}

/** What the daemon's flags and daemon.json decide for the engine. */
export interface EngineConfig extends ContainersConfig {
  /** Sockets and pids: `/run/fathom`. */
  readonly execRoot: string;
  readonly cgroupParent: string;
  readonly logDriver: string;
  readonly logOptions: Readonly<Record<string, string>>;
  readonly defaultUlimits: readonly UlimitSetting[];
  readonly defaultShmSizeBytes: number;
  /** Containers run on through a graceful stop of the daemon. */
  readonly liveRestore: boolean;
  readonly maxConcurrentDownloads: number;
  readonly maxConcurrentUploads: number;
  readonly noNewPrivileges: boolean;
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

// What the parts give each other

/** What containers hold on to. The parts of images and volumes ask before a removal. */
export interface ContainerUses extends VolumeUses {
  /** Containers made from this image, running or not. */
  ofImage(id: Digest): readonly { readonly id: string; readonly running: boolean; readonly imageName: string }[];
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

/** What the part of containers needs of images. */
export interface ImageSource extends ImageLookup {
  lookup(name: string, platform?: Platform): LocalImage;
  /** By id; undefined when it was removed meanwhile. */
  byId(id: Digest): LocalImage | undefined;
  /** `name` is what it is called now, as users write it: "kept:1". */
  commit(request: LayerImageRequest): Promise<{ readonly id: Digest; readonly name: string | undefined }>;
}

/** The part of images. Its disposal cancels what is under way: pulls, loads, commits. */
export interface ImagePart extends ImageSource, AsyncDisposable {
  readonly backend: ImageBackend;
  readonly authenticate: SystemBackend["authenticate"];
}

/** The part of volumes. */
export interface VolumePart {
  readonly backend: VolumeBackend;
  /** For containers. */
  readonly lookup: VolumeLookup;
  /** Bytes. @throws timeout where the file system does not answer */
  usage(name: string): Promise<number>;
}

/** What the parts of images and volumes are made from. */
export interface EngineParts extends Pick<ContainersParts, "store" | "sys" | "files" | "logger" | "clock"> {
  readonly config: EngineConfig;
  readonly events: EventPublisher;
  readonly uses: ContainerUses;
}

/** Defaults of HostConfig that depend on the machine. */
export interface MachineDefaults {
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  /** A container has a cgroup namespace of its own. */
  readonly privateCgroups: boolean;
}

/** What the part of containers needs of `oci/`: Docker's configuration as an OCI one. */
export interface OciTranslation extends ContainerTranslation {
  readonly defaults: MachineDefaults;
  /** The limits of a configuration. */
  resources(hostConfig: HostConfig): LinuxResources;
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
}
