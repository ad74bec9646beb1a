import { expect, test } from "bun:test";
import { checkOciSpec, type OciMount, type OciSpec } from "@fathom/spec";
import type { MountPoint } from "@fathom/containers";
import { defaultCapabilities } from "./security/capabilities.ts";
import { containerSpec } from "./container-spec.ts";
import { requestedDevices, type DeviceFiles } from "./devices.ts";
import { testDaemon, testHost, testInput } from "../testing/oci-fixtures.ts";
import { emptyContainerConfig } from "@fathom/spec/testing";

type Change = Parameters<typeof testInput>[0];

function build(change: Change = {}, daemon = testDaemon): OciSpec {
  return containerSpec(testInput(change), daemon, testHost);
}

/** With the requested devices, from an artificial /dev. */
async function buildWithDevices(host: NonNullable<Change>["host"], files = devices): Promise<OciSpec> {
  const { hostConfig } = testInput({ host: host! });
  return build({ host: host!, devices: await requestedDevices(hostConfig, files) });
}

function mountAt(spec: OciSpec, destination: string): OciMount | undefined {
  return spec.mounts?.find((mount) => mount.destination === destination);
}

const point: MountPoint = {
  type: "bind",
  name: undefined,
  source: "/host",
  destination: "/data",
  driver: undefined,
  mode: "",
  readWrite: true,
  propagation: "rprivate",
  copyData: false,
  subpath: "",
  createSource: true,
  nonRecursive: false,
  readOnlyNonRecursive: false,
  readOnlyForceRecursive: false,
  tmpfsOptions: [],
  anonymous: false,
};

test("Docker's defaults give a configuration that the schema accepts", () => {
  const spec = build();
  expect(checkOciSpec(JSON.parse(JSON.stringify(spec)))).toMatchObject({ ociVersion: "1.3.0" });
  expect(spec.hostname).toBe("box");
  expect(spec.linux?.namespaces).toEqual([
    { type: "mount" },
    { type: "network" },
    { type: "uts" },
    { type: "pid" },
    { type: "ipc" },
  ]);
  expect(spec.mounts?.map((mount) => mount.destination)).toEqual([
    "/proc",
    "/dev",
    "/dev/pts",
    "/sys",
    "/sys/fs/cgroup",
    "/dev/mqueue",
    "/dev/shm",
    "/etc/resolv.conf",
    "/etc/hostname",
    "/etc/hosts",
  ]);
  expect(mountAt(spec, "/dev/shm")?.options).toEqual(["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]);
  expect(spec.process).toMatchObject({
    terminal: false,
    args: ["sh"],
    env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=box", "HOME=/root"],
    cwd: "/",
    capabilities: {
      bounding: [...defaultCapabilities],
      effective: [...defaultCapabilities],
      permitted: [...defaultCapabilities],
    },
    oomScoreAdj: 0,
    noNewPrivileges: false,
  });
  expect(spec.process?.capabilities?.inheritable).toBeUndefined();
  expect(spec.linux?.maskedPaths).toContain("/sys/devices/system/cpu/cpu0/thermal_throttle");
  expect(spec.linux?.maskedPaths).toHaveLength(13);
  expect(spec.linux?.readonlyPaths).toEqual(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]);
  expect(spec.linux?.sysctl).toEqual({
    "net.ipv4.ping_group_range": "0 2147483647",
    "net.ipv4.ip_unprivileged_port_start": "0",
  });
  expect(
    spec.linux?.resources?.devices?.map((rule) => `${rule.allow ? "+" : "-"}${rule.major ?? "*"}:${rule.minor ?? "*"}`),
  ).toEqual(["-*:*", "+1:5", "+1:3", "+1:9", "+1:8", "+5:0", "+5:1", "-10:229"]);
  expect(spec.linux?.seccomp?.defaultAction).toBe("SCMP_ACT_ERRNO");
});

test("namespaces: host's, others', cgroup", () => {
  const host = build({
    host: { NetworkMode: "host", UTSMode: "host", PidMode: "host", IpcMode: "host", CgroupnsMode: "private" },
  });
  expect(host.linux?.namespaces).toEqual([{ type: "mount" }, { type: "cgroup" }]);
  expect(host.hostname).toBeUndefined();
  expect(host.linux?.sysctl).toEqual({});
  expect(mountAt(host, "/dev/shm")).toEqual({
    destination: "/dev/shm",
    type: "bind",
    source: "/dev/shm",
    options: ["rbind", "rprivate"],
  });
  const joined = build({
    namespaces: { network: "/n", uts: "/u", pid: "/p", ipc: "/i" },
    sharedMemory: "/shm/of/other",
  });
  expect(joined.linux?.namespaces).toEqual([
    { type: "mount" },
    { type: "network", path: "/n" },
    { type: "uts", path: "/u" },
    { type: "pid", path: "/p" },
    { type: "ipc", path: "/i" },
  ]);
  expect(joined.hostname).toBeUndefined();
  expect(joined.linux?.sysctl).toEqual({});
  expect(mountAt(joined, "/dev/shm")?.source).toBe("/shm/of/other");
  expect(mountAt(build({ host: { IpcMode: "none" } }), "/dev/shm")).toBeUndefined();
});

interface FakeFile {
  readonly mode: number;
  readonly rdev?: number;
}

function fakeFiles(
  files: Readonly<Record<string, FakeFile>>,
  links: Readonly<Record<string, string>> = {},
): DeviceFiles {
  const find = (path: string, call: string): FakeFile => {
    const file = files[path];
    if (file === undefined) throw new Error(`ENOENT: no such file or directory, ${call} '${path}'`);
    return file;
  };
  return {
    lstat: async (path) => ({ rdev: 0, uid: 0, gid: 6, ...find(path, "lstat") }),
    realpath: async (path) => {
      const end = links[path] ?? path;
      find(end, "realpath");
      return end;
    },
    list: async (path) =>
      Object.keys(files).flatMap((file) => {
        const name = file.slice(path.length + 1);
        return file.startsWith(`${path}/`) && !name.includes("/") ? [{ name, kind: "unknown" as const }] : [];
      }),
  };
}

/** A /dev with a directory, a link and devices that the container does not get. */
const devices = fakeFiles(
  {
    "/dev": { mode: 0o040_755 },
    "/dev/kmsg": { mode: 0o020_644, rdev: 0x10b },
    "/dev/console": { mode: 0o020_600, rdev: 0x501 },
    "/dev/pts": { mode: 0o040_755 },
    "/dev/pts/0": { mode: 0o020_620, rdev: 0x8800 },
    "/dev/snd": { mode: 0o040_755 },
    "/dev/snd/a": { mode: 0o020_660, rdev: 0x7401 },
    "/dev/snd/seq": { mode: 0o020_660, rdev: 0x7402 },
    // A minor number above 255 is spread over the word.
    "/dev/sdz": { mode: 0o060_660, rdev: 0x10_0890 },
    "/dev/initctl": { mode: 0o010_600 },
    "/dev/plain": { mode: 0o100_644 },
  },
  { "/dev/link": "/dev/kmsg" },
);

test("privileged: all capabilities, all devices, no masks, writable /sys and cgroups, no filter", async () => {
  const spec = await buildWithDevices({
    Privileged: true,
    Devices: [{ PathOnHost: "/dev/link", PathInContainer: "/dev/other", CgroupPermissions: "r" }],
  });
  expect(spec.process?.capabilities?.bounding).toHaveLength(40);
  expect(spec.linux?.devices?.map(({ path }) => path)).toEqual([
    "/dev/kmsg",
    "/dev/snd/a",
    "/dev/snd/seq",
    "/dev/sdz",
    "/dev/initctl",
    "/dev/other",
  ]);
  expect(spec.linux?.devices?.find(({ path }) => path === "/dev/sdz")).toMatchObject({
    type: "b",
    major: 8,
    minor: 400,
    fileMode: 0o660,
    gid: 6,
  });
  expect(spec.linux?.resources?.devices).toEqual([{ allow: true, access: "rwm" }]);
  expect(spec.linux).toMatchObject({ maskedPaths: [], readonlyPaths: [] });
  expect(mountAt(spec, "/sys")?.options).not.toContain("ro");
  expect(mountAt(spec, "/sys/fs/cgroup")?.options).not.toContain("ro");
  expect(spec.linux?.seccomp).toBeUndefined();
  const filtered = build({
    host: { Privileged: true, SecurityOpt: ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}', "writable-cgroups=false"] },
  });
  expect(filtered.linux?.seccomp?.defaultAction).toBe("SCMP_ACT_ALLOW");
  expect(mountAt(filtered, "/sys/fs/cgroup")?.options).toContain("ro");
});

const device = (
  PathOnHost: string,
  PathInContainer: string,
  CgroupPermissions: string,
  files = devices,
): Promise<OciSpec> =>
  buildWithDevices(
    { Devices: [{ PathOnHost, PathInContainer, CgroupPermissions }], DeviceCgroupRules: ["c *:5 r", "a *:* m"] },
    files,
  );

test("devices: one, a directory of them, through a link, none", async () => {
  const one = await device("/dev/link", "/dev/mine", "r");
  expect(one.linux?.devices).toEqual([
    { type: "c", path: "/dev/mine", major: 1, minor: 11, fileMode: 0o644, uid: 0, gid: 6 },
  ]);
  expect(one.linux?.resources?.devices?.slice(-3)).toEqual([
    { allow: true, type: "c", major: 1, minor: 11, access: "r" },
    { allow: true, type: "c", minor: 5, access: "r" },
    { allow: true, type: "a", access: "m" },
  ]);
  expect((await device("/dev/snd", "/dev/sound", "rwm")).linux?.devices?.map(({ path }) => path)).toEqual([
    "/dev/sound/a",
    "/dev/sound/seq",
  ]);
  await expect(device("/dev/nosuch", "/x", "rwm")).rejects.toThrow(
    'error gathering device information while adding custom device "/dev/nosuch": no such file or directory',
  );
  await expect(device("/dev/plain", "/x", "rwm")).rejects.toThrow("not a device node");
});

test("devices: an empty path does not mean the daemon's own folder, and the search in a large tree stops early", async () => {
  await expect(device("", "", "")).rejects.toThrow(
    'error gathering device information while adding custom device "": no such file or directory',
  );
  let asked = 0;
  const endless: DeviceFiles = {
    lstat: async () => ({ mode: 0o040_755, rdev: 0, uid: 0, gid: 0 }),
    realpath: async (path) => path,
    list: async () => {
      asked++;
      return Array.from({ length: 1000 }, (_, index) => ({ name: String(index), kind: "directory" as const }));
    },
  };
  await expect(device("/usr", "/usr", "rwm", endless)).rejects.toThrow(
    'adding custom device "/usr": it holds more than 20000 files and directories: name the device nodes themselves',
  );
  expect(asked).toBeLessThan(100);
});

test("mounts: order, read-only kinds, propagation, tmpfs, the user's mounts instead of Docker's", () => {
  const spec = build({
    mounts: [
      { ...point, destination: "/data/inner", readWrite: false },
      { ...point, destination: "/data" },
      { ...point, destination: "/ro", readWrite: false, readOnlyNonRecursive: true },
      { ...point, destination: "/flat", nonRecursive: true, readWrite: false },
      { ...point, type: "tmpfs", source: "", destination: "/scratch", tmpfsOptions: ["size=64k", "exec"] },
      { ...point, destination: "/etc/hosts" },
    ],
  });
  const asked = spec.mounts?.slice(7).map((mount) => `${mount.destination} ${mount.options?.join(",")}`);
  expect(asked).toEqual([
    "/data rbind,rprivate",
    "/ro rbind,ro,rprivate",
    "/flat bind,ro,rprivate",
    "/scratch nosuid,nodev,rprivate,size=64k,exec",
    "/etc/resolv.conf rbind,rprivate",
    "/etc/hostname rbind,rprivate",
    "/data/inner rbind,rro,rprivate",
    "/etc/hosts rbind,rprivate",
  ]);
  expect(spec.mounts?.filter((mount) => mount.destination === "/etc/hosts")).toHaveLength(1);
  expect(spec.linux?.rootfsPropagation).toBeUndefined();
  expect(build({ mounts: [{ ...point, propagation: "rslave" }] }).linux?.rootfsPropagation).toBe("rslave");
  expect(
    build({
      mounts: [
        { ...point, propagation: "rslave" },
        { ...point, propagation: "shared" },
      ],
    }).linux?.rootfsPropagation,
  ).toBe("shared");
  const dev = build({ mounts: [{ ...point, source: "/dev", destination: "/dev" }] });
  expect(dev.mounts?.filter((mount) => mount.destination.startsWith("/dev")).map(({ type }) => type)).toEqual(["bind"]);
  expect(() =>
    build({ mounts: [{ ...point, type: "tmpfs", destination: "/x", tmpfsOptions: ["nosuchoption"] }] }),
  ).toThrow('invalid tmpfs option "nosuchoption"');
  expect(() =>
    build({ mounts: [{ ...point, readWrite: false, readOnlyNonRecursive: true, readOnlyForceRecursive: true }] }),
  ).toThrow(/conflict/);
});

test("mounts: the engine's files are visible in a directory that the user mounts", () => {
  const spec = build({ mounts: [{ ...point, destination: "/etc" }] });
  expect(spec.mounts?.slice(7).map(({ destination }) => destination)).toEqual([
    "/etc",
    "/etc/resolv.conf",
    "/etc/hostname",
    "/etc/hosts",
  ]);
});

test("a read-only root: also the engine's files, but not shared memory", () => {
  const spec = build({ host: { ReadonlyRootfs: true } });
  expect(spec.root?.readonly).toBe(true);
  expect(mountAt(spec, "/etc/hosts")?.options).toContain("ro");
  for (const path of ["/dev", "/dev/shm", "/dev/mqueue", "/proc"])
    expect(mountAt(spec, path)?.options).not.toContain("ro");
});

test("limits, ulimits, sysctls, terminal, variables, security", () => {
  const spec = build(
    {
      config: {
        ...emptyContainerConfig,
        Tty: true,
        Env: ["PATH=/bin", "A=1", "HOME="],
        WorkingDir: "/w",
        Domainname: "example.org",
      },
      host: {
        Memory: 1 << 26,
        MemorySwap: -1,
        MemorySwappiness: 0,
        NanoCpus: 500_000_000,
        CpusetCpus: "0",
        PidsLimit: 0,
        CpuShares: 512,
        Ulimits: [{ Name: "nofile", Soft: 1, Hard: -1 }],
        Sysctls: { "net.ipv4.ip_forward": "1", "net.ipv4.ping_group_range": "1 0" },
        ConsoleSize: [24, 80],
        SecurityOpt: ["no-new-privileges", "seccomp=unconfined"],
        OomScoreAdj: 5,
      },
    },
    {
      ...testDaemon,
      defaultUlimits: [
        { Name: "nofile", Soft: 9, Hard: 9 },
        { Name: "core", Soft: 0, Hard: 0 },
      ],
    },
  );
  expect(spec.linux?.resources).toMatchObject({
    memory: { limit: 1 << 26, swap: -1, swappiness: 0 },
    cpu: { quota: 50_000, period: 100_000, cpus: "0", shares: 512 },
    pids: { limit: -1 },
  });
  expect(spec.process?.rlimits).toEqual([
    { type: "RLIMIT_NOFILE", soft: 1, hard: 0xffff_ffff_ffff_ffffn },
    { type: "RLIMIT_CORE", soft: 0, hard: 0 },
  ]);
  expect(spec.linux?.sysctl).toMatchObject({ "net.ipv4.ip_forward": "1", "net.ipv4.ping_group_range": "1 0" });
  expect(spec.process).toMatchObject({
    terminal: true,
    consoleSize: { height: 24, width: 80 },
    env: ["PATH=/bin", "HOSTNAME=box", "TERM=xterm", "A=1", "HOME=/root"],
    cwd: "/w",
    noNewPrivileges: true,
    oomScoreAdj: 5,
  });
  expect(spec.domainname).toBe("example.org");
  expect(spec.linux?.seccomp).toBeUndefined();
});

test("capabilities added and dropped", () => {
  const of = (CapAdd: string[] | null, CapDrop: string[] | null): readonly string[] =>
    build({ host: { CapAdd, CapDrop } }).process?.capabilities?.bounding ?? [];
  expect(of(["chown", "CAP_KILL"], ["ALL"])).toEqual(["CAP_CHOWN", "CAP_KILL"]);
  expect(of(["net_admin"], ["mknod"])).toEqual([
    ...defaultCapabilities.filter((name) => name !== "CAP_MKNOD"),
    "CAP_NET_ADMIN",
  ]);
  expect(of(["ALL"], ["CHOWN"])).toHaveLength(39);
  expect(of(null, ["all"])).toEqual([]);
});
