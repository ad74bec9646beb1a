/** Volumes. */
import type { StringMap } from "./container-config.ts";

export interface Volume {
  readonly CreatedAt?: string;
  readonly Driver: string;
  readonly Labels: StringMap | null;
  readonly Mountpoint: string;
  readonly Name: string;
  readonly Options: StringMap | null;
  readonly Scope: string;
  readonly Status?: Readonly<Record<string, unknown>>;
  /** -1 when nobody counted. */
  readonly UsageData?: { readonly RefCount: number; readonly Size: number };
}

export interface VolumeListResponse {
  readonly Volumes: readonly Volume[];
  readonly Warnings: readonly string[] | null;
}

export interface VolumeCreateRequest {
  /** "" for a random name. */
  readonly Name: string;
  /** "" for "local". */
  readonly Driver: string;
  readonly DriverOpts: StringMap | null;
  readonly Labels: StringMap | null;
}
