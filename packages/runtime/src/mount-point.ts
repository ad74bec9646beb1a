/** The mount of the host that contains a path. */
import { parseMountInfo, readMountInfo } from "@fathom/sys";

export interface HostMount {
  readonly point: string;
  /** "ext4"; empty when it is not known. */
  readonly type: string;
  /** Mounts below it become visible elsewhere. */
  readonly shared: boolean;
  /** Mounts made elsewhere become visible in it. */
  readonly slave: boolean;
}

/** The mount that contains `path` (a path without symlinks). When two are at one place, the later one, which is on top. */
export function mountAbove(path: string, mountInfo?: string): HostMount {
  let found: HostMount = { point: "/", type: "", shared: false, slave: false };
  for (const { point, type, optional } of mountInfo === undefined ? readMountInfo() : parseMountInfo(mountInfo)) {
    const above = point === "/" || path === point || path.startsWith(`${point}/`);
    if (!above || point.length < found.point.length) continue;
    const has = (word: string): boolean => optional.some((field) => field.startsWith(word));
    found = { point, type, shared: has("shared:"), slave: has("master:") };
  }
  return found;
}

export function mountPointOf(path: string, mountInfo?: string): string {
  return mountAbove(path, mountInfo).point;
}
