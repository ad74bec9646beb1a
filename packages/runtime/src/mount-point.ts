/** Which mount of the host a path lies on. */
import { parseMountInfo, readMountInfo } from "@fathom/sys";

export interface HostMount {
  readonly point: string;
  /** "ext4"; empty where it is not known. */
  readonly type: string;
  /** What is mounted below it is seen elsewhere. */
  readonly shared: boolean;
  /** It sees what is mounted elsewhere. */
  readonly slave: boolean;
}

/** The mount above `path` (which has no symlinks in it); of two on one place the later one, which is on top. */
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
