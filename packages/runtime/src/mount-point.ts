/** Which mount of the host a path lies on. Source: proc_pid_mountinfo(5). */
import { readFileSync } from "node:fs";

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
export function mountAbove(path: string, mountInfo = readFileSync("/proc/self/mountinfo", "utf8")): HostMount {
  let found: HostMount = { point: "/", type: "", shared: false, slave: false };
  for (const line of mountInfo.split("\n")) {
    const fields = line.split(" ");
    const point = unescapeMountPoint(fields[4] ?? "");
    const above = point === "/" || path === point || path.startsWith(`${point}/`);
    if (point === "" || !above || point.length < found.point.length) continue;
    const end = fields.indexOf("-");
    const optional = fields.slice(6, end);
    const has = (word: string): boolean => optional.some((field) => field.startsWith(word));
    found = { point, type: fields[end + 1] ?? "", shared: has("shared:"), slave: has("master:") };
  }
  return found;
}

export function mountPointOf(path: string, mountInfo?: string): string {
  return mountAbove(path, mountInfo).point;
}

/** mountinfo writes blanks, line ends and backslashes as octal escapes. */
export function unescapeMountPoint(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_whole, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
