/**
 * `--device`, `--device-cgroup-rule` and the devices of a privileged container. A path may be a directory of devices, whatever its name: the
 * runtime's thread pool searches it, with a limit on entries and on time.
 */
import { posix } from "node:path";
import { lstat, readdir, realpath } from "node:fs/promises";
import type { Dirent, Stats } from "node:fs";
import { EngineError, within } from "@fathom/base";
import { errnoNumber, SysError } from "@fathom/sys";
import type { DeviceMapping, HostConfig, LinuxDevice, LinuxDeviceCgroup } from "@fathom/spec";

/** Each throws as fs does. */
export interface DeviceFiles {
  /** Does not follow a symlink at the end of the path. */
  lstat(path: string): Promise<Pick<Stats, "mode" | "rdev" | "uid" | "gid">>;
  realpath(path: string): Promise<string>;
  list(path: string): Promise<readonly { readonly name: string; readonly kind: EntryKind }[]>;
}

/** "unknown" when the file system does not report the type. */
export type EntryKind = "directory" | "device" | "other" | "unknown";

const hostDeviceFiles: DeviceFiles = {
  lstat: (path) => lstat(path),
  realpath: (path) => realpath(path),
  list: async (path) => {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.map((entry) => ({ name: entry.name, kind: kindOf(entry) }));
  },
};

function kindOf(entry: Dirent): EntryKind {
  if (entry.isDirectory()) return "directory";
  if (entry.isCharacterDevice() || entry.isBlockDevice() || entry.isFIFO()) return "device";
  return entry.isFile() || entry.isSymbolicLink() || entry.isSocket() ? "other" : "unknown";
}

export interface DeviceSet {
  readonly devices: readonly LinuxDevice[];
  readonly rules: readonly LinuxDeviceCgroup[];
}

export const noDevices: DeviceSet = { devices: [], rules: [] };

const typeMask = 0o170_000;
const characterDevice = 0o020_000;
const blockDevice = 0o060_000;
const fifo = 0o010_000;
const directory = 0o040_000;

/** Far more than /dev has. */
const mostEntries = 20_000;
const deadlineMs = 10_000;
/** How many are requested at the same time. */
const atOnce = 16;

/**
 * The devices that a container gets by name, and their rules.
 * @throws invalid-argument 'error gathering device information …', in Docker's words
 */
export async function requestedDevices(
  hostConfig: Pick<HostConfig, "Devices" | "Privileged">,
  files: DeviceFiles = hostDeviceFiles,
): Promise<DeviceSet> {
  const mapped = hostConfig.Devices ?? [];
  if (!hostConfig.Privileged) {
    if (mapped.length === 0) return noDevices;
    const sets: DeviceSet[] = [];
    for (const mapping of mapped) sets.push(await devicesFromMapping(mapping, files));
    return { devices: sets.flatMap((set) => set.devices), rules: sets.flatMap((set) => set.rules) };
  }
  const devices = await hostDevices(files);
  // The host's devices are there anyway; only those with another name are added.
  for (const mapping of mapped)
    if (mapping.PathOnHost !== mapping.PathInContainer)
      devices.push(...(await devicesFromMapping(mapping, files)).devices);
  return { devices, rules: [] };
}

/** One --device: a node, or a directory of nodes. */
async function devicesFromMapping(mapping: DeviceMapping, files: DeviceFiles): Promise<DeviceSet> {
  const { PathOnHost, PathInContainer, CgroupPermissions } = mapping;
  const fail = (reason: string, cause?: unknown): EngineError =>
    new EngineError(
      "invalid-argument",
      `error gathering device information while adding custom device ${JSON.stringify(PathOnHost)}: ${reason}`,
      { cause },
    );
  // The daemon's own folder must not be searched.
  if (PathOnHost === "")
    throw fail("no such file or directory", new SysError("stat", errnoNumber("ENOENT"), PathOnHost));
  let path: string;
  let found: LinuxDevice[];
  try {
    const search = new DeviceSearch(files, () => true);
    [path, found] = await search.limited(async () => {
      const real = await files.realpath(posix.join("/", PathOnHost));
      return [real, await search.at(real)] as const;
    });
  } catch (error) {
    throw fail(reasonOf(error), error);
  }
  if (found.length === 0) throw fail("not a device node");
  const inContainer = PathInContainer === "" ? PathOnHost : PathInContainer;
  const devices = found.map((device) => ({
    ...device,
    path: posix.join("/", inContainer, device.path.slice(path.length)),
  }));
  return { devices, rules: devices.map((device) => ruleFor(device, CgroupPermissions || "rwm")) };
}

function ruleFor(device: LinuxDevice, access: string): LinuxDeviceCgroup {
  return {
    allow: true,
    type: device.type === "b" ? "b" : "c",
    major: device.major ?? 0,
    minor: device.minor ?? 0,
    access,
  };
}

/** Not taken from the host: terminals, shared memory, queues and the nodes that the runtime makes itself. */
const skippedDirectories: ReadonlySet<string> = new Set(["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"]);

/** All device nodes in /dev, for --privileged. */
async function hostDevices(files: DeviceFiles): Promise<LinuxDevice[]> {
  const search = new DeviceSearch(
    files,
    (path) => path !== "/dev/console" && !skippedDirectories.has(posix.basename(path)),
  );
  return search.limited(() => search.at("/dev"));
}

/** Searches a tree for device nodes, within the limits. */
class DeviceSearch {
  readonly #files: DeviceFiles;
  readonly #wanted: (path: string) => boolean;
  #entries = 0;
  #over: EngineError | undefined;

  constructor(files: DeviceFiles, wanted: (path: string) => boolean) {
    this.#files = files;
    this.#wanted = wanted;
  }

  /** @throws unavailable after the deadline: a file system that hangs delays only the client that asked for it */
  async limited<T>(work: () => Promise<T>): Promise<T> {
    return within(work(), deadlineMs, () => {
      throw (this.#over = new EngineError(
        "unavailable",
        `the search did not end within ${deadlineMs / 1000} s: name the device nodes themselves`,
      ));
    });
  }

  /** The node at a path, or the nodes below a directory. */
  async at(path: string): Promise<LinuxDevice[]> {
    const found = await this.#look(path);
    return found === "directory" ? this.#below(path) : found;
  }

  async #look(path: string): Promise<LinuxDevice[] | "directory"> {
    if (this.#over !== undefined) throw this.#over;
    const stat = await this.#files.lstat(path);
    const type = stat.mode & typeMask;
    if (type === directory) return "directory";
    if (type !== characterDevice && type !== blockDevice && type !== fifo) return [];
    return [
      {
        path,
        type: type === characterDevice ? "c" : type === blockDevice ? "b" : "p",
        ...(type === fifo ? {} : { major: majorOf(stat.rdev), minor: minorOf(stat.rdev) }),
        fileMode: stat.mode & 0o7777,
        uid: stat.uid,
        gid: stat.gid,
      },
    ];
  }

  /**
   * One directory after another; the entries of one directory at the same time. Entries that disappear meanwhile are left out, because devices
   * come and go.
   */
  async #below(path: string): Promise<LinuxDevice[]> {
    if (this.#over !== undefined) throw this.#over;
    const entries = await this.#files.list(path);
    this.#entries += entries.length;
    if (this.#entries > mostEntries)
      this.#over ??= new EngineError(
        "resource-exhausted",
        `it holds more than ${mostEntries} files and directories: name the device nodes themselves`,
      );
    const paths = entries.flatMap(({ name, kind }) => {
      const below = posix.join(path, name);
      return kind !== "other" && this.#wanted(below) ? [below] : [];
    });
    const found: LinuxDevice[] = [];
    for (let from = 0; from < paths.length; from += atOnce) {
      const part = paths.slice(from, from + atOnce);
      const results = await Promise.allSettled(part.map((below) => this.#look(below)));
      for (const [index, result] of results.entries()) {
        if (result.status === "rejected") continue;
        const inner = result.value === "directory" ? this.#below(part[index]!).catch(() => []) : result.value;
        found.push(...(await inner));
      }
      if (this.#over !== undefined) throw this.#over;
    }
    return found;
  }
}

/** Splits Linux's 64-bit dev_t as glibc does. */
function majorOf(device: number): number {
  const value = BigInt(device);
  return Number(((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xffff_f000n));
}

function minorOf(device: number): number {
  const value = BigInt(device);
  return Number((value & 0xffn) | ((value >> 12n) & 0xffff_ff00n));
}

/** The kernel reads 32 bits. */
const largestDeviceNumber = 2 ** 32 - 1;

/** "c 10:237 rm", "b 8:* r", "a *:* rwm". @throws invalid-argument in Docker's words */
export function parseDeviceCgroupRule(text: string): LinuxDeviceCgroup {
  const match = /^([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text);
  if (!match) throw new EngineError("invalid-argument", `invalid device cgroup rule format: '${text}'`);
  const [, type, major, minor, access] = match;
  const number = (digits: string | undefined): { value?: number } =>
    digits === undefined || digits === "*" ? {} : { value: Number(digits) };
  const [majorNumber, minorNumber] = [number(major).value, number(minor).value];
  for (const value of [majorNumber, minorNumber])
    if (value !== undefined && value > largestDeviceNumber)
      throw new EngineError(
        "invalid-argument",
        `invalid device cgroup rule '${text}': a device number is at most ${largestDeviceNumber}`,
      );
  return {
    allow: true,
    type: type === "a" ? "a" : type === "b" ? "b" : "c",
    ...(majorNumber === undefined ? {} : { major: majorNumber }),
    ...(minorNumber === undefined ? {} : { minor: minorNumber }),
    access: access ?? "rwm",
  };
}

/** Turns Node's "ENOENT: no such file or directory, lstat '/x'" into the kernel's own words. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return /^[A-Z0-9]+: ([^,]+), /.exec(text)?.[1] ?? text;
}
