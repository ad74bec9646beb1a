/**
 * The engine's parts and their small interfaces. The parts for containers (`engine.ts`, `containers/`, `commit/`, `system/`) use this file. The
 * parts for images (`images/`), volumes (`volumes/`) and the translation to OCI (`oci/`) implement the interfaces below, so that no part
 * imports files of another part. Only `engine.ts` connects them.
 *
 * Errors: EngineError with Docker's words. Every change of a row is one transaction; reads come from the map in memory.
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
  Ulimit,
} from "@fathom/spec";
import type { VolumeLookup, VolumeUses } from "@fathom/volumes";
import type { ImageBackend, SystemBackend, VolumeBackend } from "./backend.ts";

/** The engine's settings from the daemon's flags and daemon.json. */
export interface EngineConfig extends ContainersConfig {
  /** Sockets and pids: `/run/fathom`. */
  readonly execRoot: string;
  readonly cgroupParent: string;
  readonly logDriver: string;
  readonly logOptions: Readonly<Record<string, string>>;
  readonly defaultUlimits: readonly Ulimit[];
  readonly defaultShmSizeBytes: number;
  /** Containers keep running when the daemon shuts down. */
  readonly liveRestore: boolean;
  readonly maxConcurrentDownloads: number;
  readonly maxConcurrentUploads: number;
  readonly noNewPrivileges: boolean;
  /** Path of a seccomp profile, "unconfined", or "" for the built-in one. */
  readonly seccompProfile: string;
  readonly labels: readonly string[];
  readonly experimental: boolean;
  readonly debug: boolean;
  /** As given to the daemon; from the environment when absent. */
  readonly proxy?: { readonly http?: string; readonly https?: string; readonly no?: string };
  readonly insecureRegistries: readonly string[];
  readonly registryMirrors: readonly string[];
  /** How many stems are kept ready; 0 makes each when it is needed. */
  readonly stemPoolSize: number;
  readonly version: string;
  readonly gitCommit: string;
  readonly buildTime: string;
}

// What the parts provide to each other

/** What containers use. The parts of images and volumes ask before a removal. */
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

/** What the part of containers needs from images. */
export interface ImageSource extends ImageLookup {
  lookup(name: string, platform?: Platform): LocalImage;
  /** By id; undefined when it was removed meanwhile. */
  byId(id: Digest): LocalImage | undefined;
  /** `name` is the image's present name, as users write it: "kept:1". */
  commit(
    request: LayerImageRequest,
    signal: AbortSignal,
  ): Promise<{ readonly id: Digest; readonly name: string | undefined }>;
}

/** The part of images. Disposing it cancels running work: pulls, loads, commits. */
export interface ImagePart extends ImageSource, AsyncDisposable {
  readonly backend: ImageBackend;
  readonly authenticate: SystemBackend["authenticate"];
}

/** The part of volumes. */
export interface VolumePart {
  readonly backend: VolumeBackend;
  /** For containers. */
  readonly lookup: VolumeLookup;
  /** Bytes. @throws timeout when the file system does not answer */
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

/** What the part of containers needs from `oci/`: Docker's configuration as an OCI configuration. */
export interface OciTranslation extends ContainerTranslation {
  /** "app:staff" in a mounted root. @throws "unable to find user …" */
  userInRoot(spec: string, rootFd: number): Promise<{ readonly uid: number; readonly gid: number }>;
  readonly defaults: MachineDefaults;
  /** The limits of a configuration. */
  resources(hostConfig: HostConfig): LinuxResources;
  /**
   * Checks that need only the configuration and the abilities of this machine. `request` is what the client sent; absent for update.
   * Returns warnings ("Your kernel does not support …").
   * @throws invalid-argument in Docker's words
   */
  validate(
    config: ContainerConfig,
    hostConfig: HostConfig,
    request: ContainerCreateRequest | undefined,
  ): readonly string[];
}
