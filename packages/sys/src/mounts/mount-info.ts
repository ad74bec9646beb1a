/** Mounts and their places, from /proc: proc_pid_mountinfo(5). */
import { readFileSync } from "node:fs";

export interface MountInfo {
  readonly id: string;
  /** "254:1" */
  readonly device: string;
  readonly point: string;
  /** "shared:7", "master:3" */
  readonly optional: readonly string[];
  /** "ext4" */
  readonly type: string;
  /** Options of the super block. */
  readonly options: readonly string[];
}

/** Later ones cover earlier ones. Invalid lines are left out. */
export function parseMountInfo(text: string): MountInfo[] {
  return text.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const end = fields.indexOf("-", 6);
    const [id, , device, , point] = fields;
    const type = fields[end + 1];
    if (end < 0 || id === undefined || device === undefined || point === undefined || type === undefined) return [];
    return [
      {
        id,
        device,
        point: unescaped(point),
        optional: fields.slice(6, end),
        type,
        options: fields[end + 3]?.split(",") ?? [],
      },
    ];
  });
}

/** Blanks, line ends and backslashes are octal escapes. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_whole, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** The mounts that this process sees. */
export function readMountInfo(): MountInfo[] {
  return parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
}

/** File systems whose calls wait only for this machine's own disks. */
const localTypes = new Set(
  (
    "ext2 ext3 ext4 xfs btrfs f2fs bcachefs zfs vfat exfat iso9660 udf squashfs erofs tmpfs ramfs rootfs overlay proc sysfs devtmpfs " +
    "devpts cgroup cgroup2 securityfs debugfs tracefs bpf mqueue hugetlbfs configfs pstore efivarfs nsfs"
  ).split(" "),
);

export function isLocalType(type: string): boolean {
  return localTypes.has(type);
}

/** Whether a call on this mount (one of those that a process sees) waits only for this machine's own disks. Never waits itself. */
export function isLocalMount(pid: number, mountId: bigint): boolean {
  // Each look-up of a path needs one of many mounts: only its line is parsed.
  const lines = `\n${readFileSync(`/proc/${pid}/mountinfo`, "utf8")}`;
  const at = lines.indexOf(`\n${mountId} `);
  if (at < 0) return false;
  const [found] = parseMountInfo(lines.slice(at + 1, lines.indexOf("\n", at + 1)));
  return found !== undefined && isLocalType(found.type);
}
