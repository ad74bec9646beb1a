/** Images as the API prints them. */
import type { Descriptor, ImageConfig } from "../oci/image.ts";
import type { StringMap } from "./container-config.ts";
import type { DriverData } from "./container.ts";

export interface ImageSummary {
  /** Containers that use it; -1 when not counted. */
  readonly Containers: number;
  /** Unix seconds. */
  readonly Created: number;
  readonly Id: string;
  readonly Labels: StringMap | null;
  readonly ParentId: string;
  readonly Descriptor?: Descriptor;
  readonly Manifests?: readonly object[];
  readonly RepoDigests: readonly string[];
  readonly RepoTags: readonly string[];
  /** -1 when not computed. */
  readonly SharedSize: number;
  readonly Size: number;
}

export interface ImageInspect {
  readonly Id: string;
  readonly RepoTags: readonly string[];
  readonly RepoDigests: readonly string[];
  /** The image from which the container of a commit was made. */
  readonly Parent?: string;
  readonly Comment?: string;
  readonly Created?: string;
  readonly Author?: string;
  /** The image's own `config` object. */
  readonly Config: NonNullable<ImageConfig["config"]> | null;
  readonly Architecture: string;
  readonly Variant?: string;
  readonly Os: string;
  readonly OsVersion?: string;
  readonly Size: number;
  readonly GraphDriver?: DriverData;
  readonly RootFS: { readonly Type?: string; readonly Layers?: readonly string[] };
  readonly Metadata: { readonly LastTagTime?: string };
  readonly Descriptor?: Descriptor;
  readonly Manifests?: readonly object[];
}

export interface HistoryItem {
  readonly Comment: string;
  /** Unix seconds. */
  readonly Created: number;
  readonly CreatedBy: string;
  readonly Id: string;
  readonly Size: number;
  readonly Tags: readonly string[] | null;
}

export type ImageDeleteItem = { readonly Untagged: string } | { readonly Deleted: string };

/** One line of a pull, push, load, import or build. */
export interface ProgressMessage {
  readonly stream?: string;
  readonly status?: string;
  readonly progressDetail?: {
    readonly current?: number;
    readonly total?: number;
    readonly start?: number;
    readonly hidecounts?: boolean;
    readonly units?: string;
  };
  /** The progress bar as text, for clients that do not draw their own. */
  readonly progress?: string;
  readonly id?: string;
  readonly errorDetail?: { readonly code?: number; readonly message: string };
  readonly error?: string;
  readonly aux?: unknown;
}
