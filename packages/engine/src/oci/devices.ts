/** `--device`, `--device-cgroup-rule` and the devices of a privileged container. */
import { lstatSync, readdirSync, realpathSync, type Stats } from "node:fs";
import { posix } from "node:path";
import { EngineError } from "@fathom/base";
import type { DeviceMapping, LinuxDevice, LinuxDeviceCgroup } from "@fathom/spec";

export interface DeviceFiles {
  /** Without following a symlink at the end. Throws as fs does. */
  lstat(path: string): Pick<Stats, "mode" | "rdev" | "uid" | "gid">;
  realpath(path: string): string;
  list(path: string): readonly string[];
}

export const hostDeviceFiles: DeviceFiles = {
  lstat: (path) => lstatSync(path),
  realpath: (path) => realpathSync(path),
  list: (path) => readdirSync(path),
};

export interface DeviceSet {
  readonly devices: readonly LinuxDevice[];
  readonly rules: readonly LinuxDeviceCgroup[];
}

const typeMask = 0o170_000;
const characterDevice = 0o020_000;
const blockDevice = 0o060_000;
const fifo = 0o010_000;
const directory = 0o040_000;

/** One --device: a node, or a directory of them. @throws internal 'error gathering device information …', as Docker words it */
export function devicesFromMapping(mapping: DeviceMapping, files: DeviceFiles = hostDeviceFiles): DeviceSet {
  const { PathOnHost, PathInContainer, CgroupPermissions } = mapping;
  const fail = (reason: string, cause?: unknown): EngineError =>
    new EngineError(
      "internal",
      `error gathering device information while adding custom device ${JSON.stringify(PathOnHost)}: ${reason}`,
      { cause },
    );
  let path: string;
  let found: LinuxDevice[];
  try {
    path = files.realpath(PathOnHost);
    found = [...devicesBelow(path, files, () => true)];
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

/** Not the host's: terminals, shared memory, queues and what the runtime makes itself. */
const skippedDirectories: ReadonlySet<string> = new Set(["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"]);

/** All device nodes in /dev, for --privileged. */
export function hostDevices(files: DeviceFiles = hostDeviceFiles): LinuxDevice[] {
  return [
    ...devicesBelow("/dev", files, (path) => path !== "/dev/console" && !skippedDirectories.has(posix.basename(path))),
  ];
}

function* devicesBelow(path: string, files: DeviceFiles, wanted: (path: string) => boolean): Generator<LinuxDevice> {
  const stat = files.lstat(path);
  const type = stat.mode & typeMask;
  if (type === characterDevice || type === blockDevice || type === fifo) {
    yield {
      path,
      type: type === characterDevice ? "c" : type === blockDevice ? "b" : "p",
      ...(type === fifo ? {} : { major: majorOf(stat.rdev), minor: minorOf(stat.rdev) }),
      fileMode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
    };
  } else if (type === directory) {
    for (const name of files.list(path)) {
      const below = posix.join(path, name);
      if (!wanted(below)) continue;
      try {
        yield* devicesBelow(below, files, wanted);
      } catch {
        // Gone meanwhile: devices come and go.
      }
    }
  }
}

/** Linux's 64-bit dev_t as glibc takes it apart. */
function majorOf(device: number): number {
  const value = BigInt(device);
  return Number(((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xffff_f000n));
}

function minorOf(device: number): number {
  const value = BigInt(device);
  return Number((value & 0xffn) | ((value >> 12n) & 0xffff_ff00n));
}

/** "c 10:237 rm", "b 8:* r", "a *:* rwm". @throws invalid-argument in Docker's words */
export function parseDeviceCgroupRule(text: string): LinuxDeviceCgroup {
  const match = /^([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text);
  if (!match) throw new EngineError("invalid-argument", `invalid device cgroup rule format: '${text}'`);
  const [, type, major, minor, access] = match;
  const number = (digits: string | undefined): { value?: number } =>
    digits === undefined || digits === "*" ? {} : { value: Number(digits) };
  const [majorNumber, minorNumber] = [number(major).value, number(minor).value];
  return {
    allow: true,
    type: type === "a" ? "a" : type === "b" ? "b" : "c",
    ...(majorNumber === undefined ? {} : { major: majorNumber }),
    ...(minorNumber === undefined ? {} : { minor: minorNumber }),
    access: access ?? "rwm",
  };
}

/** Node's "ENOENT: no such file or directory, lstat '/x'" → the kernel's own words. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return /^[A-Z0-9]+: ([^,]+)/.exec(text)?.[1] ?? text;
}
