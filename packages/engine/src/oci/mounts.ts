/** The mounts of a container: Docker's own, and then the requested ones. */
import { EngineError } from "@fathom/base";
import type { HostConfig, OciMount } from "@fathom/spec";
import type { MountPoint } from "@fathom/containers";
import { tmpfsOptions } from "./tmpfs.ts";

const ownMounts: readonly OciMount[] = [
  { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
  {
    destination: "/dev",
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
  },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
  { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", "nosuid", "noexec", "nodev"] },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
  { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777"] },
];

/** These stay writable in a container with --read-only, because programs need them. */
const alwaysWritable: ReadonlySet<string> = new Set(["/proc", "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev"]);

export interface MountInput {
  readonly hostConfig: HostConfig;
  readonly mounts: readonly MountPoint[];
  readonly files: { readonly hosts: string; readonly hostname: string; readonly resolvConf: string };
  /** Host directory for /dev/shm: another container's or the host's. */
  readonly sharedMemory: string | undefined;
  readonly writableCgroups: boolean;
}

export interface MountResult {
  readonly mounts: readonly OciMount[];
  /** What the propagation of the mounts requires of the root. */
  readonly rootfsPropagation: "shared" | "rslave" | undefined;
}

export function containerMounts(input: MountInput): MountResult {
  const { hostConfig } = input;
  const asked = [...input.mounts].sort(byDepth);
  const destinations = new Set(asked.map(({ destination }) => destination));
  const own = ownMounts
    .filter(({ destination }) => !destinations.has(destination))
    .filter(({ destination }) => !(destinations.has("/dev") && destination.startsWith("/dev/")))
    .filter(({ destination }) => !(destination === "/dev/shm" && hostConfig.IpcMode === "none"))
    .map((mount) => adjusted(mount, input));
  return {
    // The engine's files are mounted over a directory that the user mounts above them.
    mounts: [...own, ...[...fileMounts(input, destinations), ...asked.map(askedMount)].sort(byDepth)],
    rootfsPropagation: rootPropagation(asked),
  };
}

function adjusted(mount: OciMount, input: MountInput): OciMount {
  const { hostConfig, sharedMemory } = input;
  const options = mount.options ?? [];
  const writable = (): OciMount => ({ ...mount, options: options.filter((word) => word !== "ro") });
  switch (mount.destination) {
    case "/dev/shm":
      return sharedMemory === undefined
        ? { ...mount, options: [...options, `size=${hostConfig.ShmSize}`] }
        : { destination: mount.destination, type: "bind", source: sharedMemory, options: ["rbind", "rprivate"] };
    case "/sys":
      return hostConfig.Privileged ? writable() : mount;
    case "/sys/fs/cgroup":
      return input.writableCgroups ? writable() : mount;
    default:
      return hostConfig.ReadonlyRootfs && !alwaysWritable.has(mount.destination) && !options.includes("ro")
        ? { ...mount, options: [...options, "ro"] }
        : mount;
  }
}

/** /etc/resolv.conf, /etc/hostname and /etc/hosts come from the engine, unless the user mounts other files there. */
function fileMounts(input: MountInput, destinations: ReadonlySet<string>): OciMount[] {
  const { files, hostConfig } = input;
  const pairs = [
    ["/etc/resolv.conf", files.resolvConf],
    ["/etc/hostname", files.hostname],
    ["/etc/hosts", files.hosts],
  ] as const;
  return pairs
    .filter(([destination, source]) => source !== "" && !destinations.has(destination))
    .map(([destination, source]) => ({
      destination,
      type: "bind",
      source,
      options: ["rbind", "rprivate", ...(hostConfig.ReadonlyRootfs ? ["ro"] : [])],
    }));
}

function askedMount(mount: MountPoint): OciMount {
  const { destination } = mount;
  if (mount.type === "tmpfs")
    return {
      destination,
      type: "tmpfs",
      source: "tmpfs",
      options: tmpfsOptions([
        ...mount.tmpfsOptions,
        ...(mount.readWrite || mount.tmpfsOptions.includes("ro") ? [] : ["ro"]),
      ]),
    };
  const propagation = mount.propagation === "" ? "rprivate" : mount.propagation;
  return {
    destination,
    type: "bind",
    source: mount.source,
    ...(mount.subpath === "" ? {} : { subpath: mount.subpath }),
    options: [mount.nonRecursive ? "bind" : "rbind", ...readonlyWords(mount), propagation],
  };
}

function readonlyWords(mount: MountPoint): string[] {
  if (mount.readWrite) return [];
  if (mount.readOnlyNonRecursive && mount.readOnlyForceRecursive)
    throw new EngineError("invalid-argument", "mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive");
  // Without submounts, nothing below could stay writable.
  return [mount.readOnlyNonRecursive || mount.nonRecursive ? "ro" : "rro"];
}

function rootPropagation(mounts: readonly MountPoint[]): MountResult["rootfsPropagation"] {
  if (mounts.some(({ propagation }) => propagation === "shared" || propagation === "rshared")) return "shared";
  return mounts.some(({ propagation }) => propagation === "slave" || propagation === "rslave") ? "rslave" : undefined;
}

/** A mount comes before the mounts below it; otherwise the order stays. */
function byDepth(a: { readonly destination: string }, b: { readonly destination: string }): number {
  return depth(a.destination) - depth(b.destination);
}

function depth(path: string): number {
  return path.split("/").filter(Boolean).length;
}
