/** Which mount of the host a path lies on. Source: proc_pid_mountinfo(5). */
import { readFileSync } from "node:fs";

/** The mount point above `path` (which has no symlinks in it); of two on one place the later one, which is on top. */
export function mountPointOf(path: string, mountInfo = readFileSync("/proc/self/mountinfo", "utf8")): string {
  let found = "/";
  for (const line of mountInfo.split("\n")) {
    const point = unescapeMountPoint(line.split(" ", 5)[4] ?? "");
    const above = point === "/" || path === point || path.startsWith(`${point}/`);
    if (point !== "" && above && point.length >= found.length) found = point;
  }
  return found;
}

/** mountinfo writes blanks, line ends and backslashes as octal escapes. */
export function unescapeMountPoint(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_whole, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
