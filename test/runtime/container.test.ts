/**
 * Docker's configuration, translated and compiled, in real containers: what a program inside sees of namespaces, mounts, devices, capabilities,
 * limits and its filter of system calls.
 */
import { afterAll, expect, test } from "bun:test";
import { chownSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { specOf, type DockerExtension, createOciTranslation } from "@fathom/engine";
import type { ContainerRecord } from "@fathom/containers";
import { compile, mountPointOf, openCgroups, resourcesFromOci, type Cgroup } from "@fathom/runtime";
import { AT_FDCWD, createHostFiles, helperExecutable } from "@fathom/sys";
import type { ContainerConfig, HostConfig, LinuxNamespace, OciSpec } from "@fathom/spec";
import { bothOutputs, launcher, Reader, Rig, sys, unframe, unlogged } from "../launcher/rig.ts";
import { runName } from "../run-name.ts";
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";

const rig = new Rig();
const cgroups = openCgroups(sys);
const parent = `/fathom-container-${runName}`;
const oci = createOciTranslation({
  sys,
  files: createHostFiles({ sys, executable: () => helperExecutable(sys) }),
  config: { defaultUlimits: [], noNewPrivileges: false, seccompProfile: "" },
  cgroups,
});

writeFileSync(join(rig.rootfs, "etc/passwd"), "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/home:/bin/false\n");
writeFileSync(join(rig.rootfs, "etc/group"), "root:x:0:\nwheel:x:10:root\naudio:x:18:\n");
for (const name of [
  "env",
  "awk",
  "df",
  "cut",
  "sort",
  "mkdir",
  "mknod",
  "chown",
  "unshare",
  "nproc",
  "ip",
  "umount",
  "date",
  "chroot",
])
  symlinkSync("busybox", join(rig.rootfs, "bin", name));
for (const name of ["hosts", "hostname", "resolv.conf"]) writeFileSync(join(rig.base, name), `${name}\n`);

afterAll(async () => {
  await cgroups.open(parent).remove();
  rig[Symbol.dispose]();
});

interface Change {
  readonly config?: Partial<ContainerConfig>;
  readonly host?: Partial<HostConfig>;
  readonly mounts?: ContainerRecord["mounts"];
  readonly inContainer?: (cgroup: Cgroup, pid: number) => Promise<void>;
}

const mountBase = {
  name: undefined,
  driver: undefined,
  mode: "",
  propagation: "rprivate",
  copyData: false,
  subpath: "",
  createSource: false,
  nonRecursive: false,
  readOnlyNonRecursive: false,
  readOnlyForceRecursive: false,
  tmpfsOptions: [],
  anonymous: false,
} as const;

let count = 0;

function recordOf(script: string, change: Change): ContainerRecord {
  const id = `${++count}`.padStart(64, "0");
  const extension: DockerExtension = {
    config: { ...emptyContainerConfig, Hostname: "box", ...change.config },
    hostConfig: {
      ...emptyHostConfig,
      NetworkMode: "none",
      ShmSize: 64 << 20,
      IpcMode: "private",
      CgroupnsMode: "host",
      ...change.host,
    },
  };
  return {
    id,
    name: "test",
    createdAt: "",
    imageId: "",
    topLayer: undefined,
    path: "sh",
    arguments: ["-c", script],
    spec: specOf(extension),
    extension,
    mounts: change.mounts ?? [],
    networks: [],
    cgroupPath: `${parent}/${id}`,
    state: { status: "created", pid: 0, exitCode: 0, error: "", oomKilled: false, startedAt: "", finishedAt: "" },
    restartCount: 0,
    restartDelayMs: 0,
    stoppedByUser: false,
    health: undefined,
    pending: undefined,
  };
}

async function run(script: string, change: Change = {}): Promise<{ out: string; code: number; oomKills: number }> {
  const record = recordOf(script, change);
  // O_PATH | O_DIRECTORY
  const rootFd = sys.openat2(AT_FDCWD, rig.rootfs, { flags: 0o12_200_000 });
  const spec = await oci.containerSpec({
    record,
    rootFd,
    namespaces: { network: undefined, uts: undefined, pid: undefined, ipc: undefined },
    files: {
      hosts: join(rig.base, "hosts"),
      hostname: join(rig.base, "hostname"),
      resolvConf: join(rig.base, "resolv.conf"),
    },
    hostname: record.spec.hostname,
    sharedMemory: undefined,
  });
  sys.close(rootFd);
  const cgroup = cgroups.create(record.cgroupPath);
  try {
    cgroup.apply(resourcesFromOci(spec.linux?.resources));
    const plan = compile(spec, {
      rootfs: { kind: "directory", path: rig.rootfs },
      at: rig.at,
      atMountPoint: mountPointOf(rig.at),
      cgroup,
      keyring: `_ses.${record.id}`,
    });
    const prepared = await launcher.prepare(plan.stem);
    const { supervisor, attachments } = await prepared.launch({
      plan,
      directory: rig.directory(),
      io: unlogged([bothOutputs]),
    });
    await change.inContainer?.(cgroup, supervisor.pid);
    const bytes = await new Reader(attachments[0]!.fd).ended;
    const { code } = await supervisor.exit;
    const out = record.spec.terminal ? bytes.toString() : Object.values(unframe(bytes)).slice(0, 2).join("");
    return { out, code, oomKills: cgroup.oomKills() };
  } finally {
    await cgroup.kill();
    await cgroup.remove();
  }
}

const output = async (script: string, change: Change = {}): Promise<string> => (await run(script, change)).out;

test("namespaces, mounts and their options", async () => {
  for (const name of ["mnt", "uts", "ipc", "pid", "net"])
    expect((await output(`readlink /proc/self/ns/${name}`)).trim()).not.toBe(readlinkSync(`/proc/self/ns/${name}`));
  expect((await output("readlink /proc/self/ns/user")).trim()).toBe(readlinkSync("/proc/self/ns/user"));
  const mounts = await output(`cut -d" " -f5 /proc/self/mountinfo | grep -v -e "^/proc/" -e "^/sys/" | sort`);
  expect(mounts.trim().split("\n")).toEqual([
    "/",
    "/dev",
    "/dev/mqueue",
    "/dev/pts",
    "/dev/shm",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
  ]);
  const flags = await output(
    `for m in /proc /dev /dev/pts /dev/shm /dev/mqueue /sys; do grep " $m " /proc/mounts | cut -d" " -f2,3,4; done`,
  );
  const expected = {
    "/proc proc": ["rw", "nosuid", "nodev", "noexec"],
    "/dev tmpfs": ["rw", "nosuid"],
    "/dev/pts devpts": ["rw", "nosuid", "noexec"],
    "/dev/shm tmpfs": ["rw", "nosuid", "nodev", "noexec"],
    "/dev/mqueue mqueue": ["rw", "nosuid", "nodev", "noexec"],
    "/sys sysfs": ["ro", "nosuid", "nodev", "noexec"],
  };
  const seen = Object.fromEntries(
    flags
      .trim()
      .split("\n")
      .map((line) => {
        const [point, type, options = ""] = line.split(" ");
        return [`${point} ${type}`, options.split(",").filter((word) => /^(rw|ro|nosuid|nodev|noexec)$/.test(word))];
      }),
  );
  expect(seen).toEqual(expected);
});

test("/dev has the usual content", async () => {
  const listing = await output(`cd /dev; for f in *; do stat -c "%n %F %a" $f; done`);
  expect(
    listing
      .trim()
      .split("\n")
      .filter((line) => !line.startsWith("core ")),
  ).toEqual([
    "fd symbolic link 777",
    "full character special file 666",
    "mqueue directory 1777",
    "null character special file 666",
    "ptmx symbolic link 777",
    "pts directory 755",
    "random character special file 666",
    "shm directory 1777",
    "stderr symbolic link 777",
    "stdin symbolic link 777",
    "stdout symbolic link 777",
    "tty character special file 666",
    "urandom character special file 666",
    "zero character special file 666",
  ]);
  expect(await output("df -k /dev/shm | tail -1", { host: { ShmSize: 8 << 20 } })).toMatch(/\b8192\b/);
});

test("hidden and read-only paths, kernel parameters, names", async () => {
  const { out } = await run(
    `
    for f in /proc/keys /proc/timer_list /proc/interrupts; do head -c1 $f | wc -c; done; ls /sys/firmware | wc -l
    echo x > /proc/sys/kernel/hostname; mkdir /sys/x
    hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax; umask; cat /proc/1/oom_score_adj
    cat /etc/hosts; grep -c : /proc/self/cgroup`,
    { host: { Sysctls: { "kernel.msgmax": "10000" }, OomScoreAdj: 100 } },
  );
  expect(out).toContain("0\n0\n0\n0\n");
  expect(out).toContain("can't create /proc/sys/kernel/hostname: Read-only file system");
  expect(out).toContain("can't create directory '/sys/x': Read-only file system");
  expect(out).toContain("box\n0\n10000\n0022\n100\nhosts\n");
});

test("capabilities, no_new_privs and the filter", async () => {
  const status = (change: Change): Promise<string> =>
    output(`awk '/^Cap|^NoNewPrivs|^Seccomp:/ { printf "%s ", $2 }' /proc/self/status`, change);
  const none = "0000000000000000";
  const usual = "00000000a80425fb";
  expect(await status({})).toBe(`${none} ${usual} ${usual} ${usual} ${none} 0 2 `);
  expect(
    await status({ host: { CapDrop: ["ALL"], CapAdd: ["chown", "CAP_KILL"], SecurityOpt: ["no-new-privileges"] } }),
  ).toBe(`${none} 0000000000000021 0000000000000021 0000000000000021 ${none} 1 2 `);
  expect(await status({ host: { SecurityOpt: ["seccomp=unconfined"] } })).toContain(" 0 0 ");
  const all = /CapBnd:\s*(\w+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  expect(await status({ host: { Privileged: true } })).toBe(`${none} ${all} ${all} ${all} ${none} 0 0 `);
  expect(await status({ config: { User: "1234" } })).toBe(`${none} ${none} ${none} ${usual} ${none} 0 2 `);
});

test("the default profile rejects what it should and lets ordinary programs work", async () => {
  const { out } =
    await run(`exec 2>&1; unshare -m true; mkdir /tmp/m 2>/dev/null; mount -t tmpfs none /tmp/m; hostname x
    chroot / true && echo chroot; mknod /tmp/n c 1 3 && echo mknod; chown 1:1 /tmp/n && echo chown; ls / | grep -c etc; date +%Y | wc -c`);
  expect(out).toContain("unshare(0x20000): Operation not permitted");
  expect(out).toContain("permission denied (are you root?)");
  expect(out).toContain("sethostname: Operation not permitted");
  expect(out).toContain("chroot\nmknod\nchown\n1\n5\n");
  const admin = { host: { CapAdd: ["SYS_ADMIN"] } };
  expect(await output("mount -t tmpfs none /tmp && echo mounted", admin)).toBe("mounted\n");
  const profile = JSON.stringify({
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }],
  });
  expect(await output("exec 2>&1; mkdir /tmp/x", { host: { SecurityOpt: [`seccomp=${profile}`] } })).toContain(
    "Operation not permitted",
  );
  expect(
    await output("exec 2>&1; mkdir /tmp/x", {
      config: { WorkingDir: "/made/for/me" },
      host: { SecurityOpt: [`seccomp=${profile}`, "no-new-privileges"] },
    }),
  ).toContain("Operation not permitted");
});

test("users, groups, limits, environment, working directory", async () => {
  const { out } = await run(`id; echo $HOME $TERM $HOSTNAME; pwd; stat -c %a /made/for/me; ulimit -Sn; ulimit -Hn`, {
    config: { User: "nobody:wheel", WorkingDir: "/made/for/me" },
    host: { GroupAdd: ["audio", "777"], Ulimits: [{ Name: "nofile", Soft: 100, Hard: 200 }] },
  });
  expect(out).toBe(
    "uid=65534(nobody) gid=10(wheel) groups=10(wheel),18(audio),777\n/home box\n/made/for/me\n755\n100\n200\n",
  );
  await expect(run("true", { config: { User: "nosuchuser" } })).rejects.toThrow(
    "unable to find user nosuchuser: no matching entries in passwd file",
  );
});

test("limits of the cgroup, an OOM kill", async () => {
  const limits = { Memory: 64 << 20, MemorySwap: 64 << 20, NanoCpus: 500_000_000, PidsLimit: 20, CpuShares: 512 };
  const { out } = await run(
    `cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes
     cat /sys/fs/cgroup/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids/pids.max
     echo $(cat /sys/fs/cgroup/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us)
     touch /sys/fs/cgroup/x 2>&1 | grep -o 'Read-only file system'; cat /proc/self/cgroup | grep -c ${parent}`,
    { host: limits },
  );
  expect(out).toMatch(/^67108864\n20\n50000 100000\nRead-only file system\n\d+\n$/);
  const killed = await run("tail /dev/zero", { host: { Memory: 16 << 20, MemorySwap: 16 << 20 } });
  expect(killed).toMatchObject({ code: 137, oomKills: 1 });
});

test("a cgroup namespace of its own", async () => {
  const { out } = await run(
    `cat /proc/self/cgroup | cut -d: -f3 | sort -u; ls /sys/fs/cgroup/ | wc -l; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null`,
    {
      host: { CgroupnsMode: "private", PidsLimit: 33 },
    },
  );
  expect(out).toMatch(/^\/\n\d+\n33\n$/);
});

test("devices", async () => {
  const device = (PathOnHost: string, PathInContainer: string, CgroupPermissions: string): Change => ({
    host: { Devices: [{ PathOnHost, PathInContainer, CgroupPermissions }] },
  });
  expect(
    await output(
      "stat -c '%F %t:%T' /dev/mynull; echo x > /dev/mynull && echo written",
      device("/dev/null", "/dev/mynull", "rwm"),
    ),
  ).toBe("character special file 1:3\nwritten\n");
  expect(await output("exec 2>&1; mknod /tmp/k c 10 237; : < /tmp/k")).toContain(
    "can't open /tmp/k: Operation not permitted",
  );
  expect(
    await output(
      "exec 2>/dev/null; (: < /dev/lc) && echo read; (: > /dev/lc) || echo refused",
      device("/dev/loop-control", "/dev/lc", "r"),
    ),
  ).toBe("read\nrefused\n");
  expect(
    await output("mknod /tmp/k2 c 10 237; (: < /tmp/k2) && echo read; (: > /tmp/k2) 2>/dev/null || echo refused", {
      host: { DeviceCgroupRules: ["c 10:237 rm"] },
    }),
  ).toBe("read\nrefused\n");
  await expect(run("true", device("/dev/nosuch", "/dev/nosuch", "rwm"))).rejects.toThrow(
    /custom device "\/dev\/nosuch": no such file or directory/,
  );
  expect(
    await output(
      "ls /dev | grep -c loop-control; : <> /dev/loop-control && echo opened; grep ' /sys ' /proc/mounts | grep -o ' rw,'",
      {
        host: { Privileged: true },
      },
    ),
  ).toBe("1\nopened\n rw,\n");
});

test("read-only root, tmpfs, volumes with each kind of read-only", async () => {
  mkdirSync(join(rig.base, "volume"));
  mkdirSync(join(rig.rootfs, "data"));
  const { out } = await run(
    `exec 2>&1; touch /x; touch /dev/shm/ok && echo shm; echo 1 > /etc/hosts; touch /scratch/a && echo scratch; touch /data/b && echo data; touch /ro/c
     stat -c %a /scratch; df -k /scratch | tail -1 | tr -s " " | cut -d" " -f2; grep " /scratch " /proc/mounts | grep -c noexec; grep -c ' /scratch .*nosuid' /proc/mounts`,
    {
      host: { ReadonlyRootfs: true },
      mounts: [
        {
          ...mountBase,
          type: "tmpfs",
          source: "",
          destination: "/scratch",
          readWrite: true,
          tmpfsOptions: ["size=64k", "mode=1770", "exec"],
        },
        { ...mountBase, type: "volume", source: join(rig.base, "volume"), destination: "/data", readWrite: true },
        { ...mountBase, type: "bind", source: join(rig.base, "volume"), destination: "/ro", readWrite: false },
      ],
    },
  );
  expect(out).toBe(
    "touch: /x: Read-only file system\nshm\nsh: can't create /etc/hosts: Read-only file system\nscratch\ndata\n" +
      "touch: /ro/c: Read-only file system\n1770\n64\n0\n1\n",
  );
});

/** A tmpfs of ours that is a shared mount. On most machines /mnt is shared, on some machines no mount is. */
async function withSharedMount(act: (path: string) => Promise<void>): Promise<void> {
  const path = join(rig.base, "shared");
  mkdirSync(path);
  sys.mount("tmpfs", path, "tmpfs", 0, "");
  try {
    // MS_SHARED
    sys.mount("", path, "", 1 << 20, "");
    mkdirSync(join(path, "inner"));
    await act(path);
  } finally {
    // MNT_DETACH, also of the mounts in it.
    sys.umount(path, 2);
  }
}

test("propagation: shared mounts appear outside, slave and private ones do not, and the root never", async () => {
  await withSharedMount(async (path) => {
    const mountsOfHost = (): string[] =>
      readFileSync("/proc/self/mounts", "utf8")
        .split("\n")
        .filter((line) => line.includes(rig.base));
    const before = mountsOfHost();
    for (const [propagation, comesOut] of [
      ["rprivate", false],
      ["rslave", false],
      ["rshared", true],
    ] as const) {
      const script = "mount -t tmpfs inside /shared/inner && touch /shared/inner/made && sleep 0.1";
      let seen: string[] = [];
      const { code } = await run(script, {
        host: { CapAdd: ["SYS_ADMIN"] },
        mounts: [{ ...mountBase, type: "bind", source: path, destination: "/shared", readWrite: true, propagation }],
        inContainer: async () => {
          // sleep: the container mounts in its first milliseconds and then waits; a mount that propagates has appeared by now
          await Bun.sleep(50);
          seen = mountsOfHost().filter((line) => !before.includes(line));
        },
      });
      expect([propagation, code, seen.map((line) => line.split(" ")[1])]).toEqual([
        propagation,
        0,
        comesOut ? [join(path, "inner")] : [],
      ]);
    }
    sys.umount(join(path, "inner"), 2);
    expect(mountsOfHost()).toEqual(before);
  });
});

test("a user namespace: root inside, nobody outside", async () => {
  const record = recordOf("", {});
  const id = 100_000;
  const map = [{ containerID: 0, hostID: id, size: 65_536 }];
  chownSync(join(rig.rootfs, "root"), id, id);
  const cgroup = cgroups.create(record.cgroupPath);
  try {
    const spec: OciSpec = {
      ociVersion: "1.3.0",
      process: {
        args: [
          "sh",
          "-c",
          "id -u; cat /proc/self/uid_map; touch /root/a && echo made; touch /etc/x; : > /dev/null && echo null",
        ],
        env: ["PATH=/bin"],
        cwd: "/",
        user: { uid: 0, gid: 0 },
        capabilities: { bounding: ["CAP_CHOWN"], effective: ["CAP_CHOWN"], permitted: ["CAP_CHOWN"] },
      },
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["mode=755"] },
      ],
      linux: {
        namespaces: ["user", "mount", "pid", "network", "ipc", "uts"].map((type) => ({ type }) as LinuxNamespace),
        uidMappings: map,
        gidMappings: map,
      },
    };
    const plan = compile(spec, { rootfs: { kind: "directory", path: rig.rootfs }, at: rig.at, cgroup });
    const prepared = await launcher.prepare(plan.stem);
    const { supervisor, attachments } = await prepared.launch({
      plan,
      directory: rig.directory(),
      io: unlogged([bothOutputs]),
    });
    const { stdout, stderr } = unframe(await new Reader(attachments[0]!.fd).ended);
    await supervisor.exit;
    expect(stdout.replaceAll(/ +/g, " ")).toBe("0\n 0 100000 65536\nmade\nnull\n");
    expect(stderr).toContain("touch: /etc/x: Permission denied");
  } finally {
    await cgroup.kill();
    await cgroup.remove();
  }
});

test("a terminal", async () => {
  const { out } = await run("tty; stat -c %F /dev/console; stty size; echo $TERM", {
    config: { Tty: true },
    host: { ConsoleSize: [33, 77] },
  });
  expect(out).toBe("/dev/pts/0\r\ncharacter special file\r\n33 77\r\nxterm\r\n");
});

test("host namespaces", async () => {
  const { out } = await run("for n in ipc net uts pid; do readlink /proc/self/ns/$n; done", {
    host: { IpcMode: "host", NetworkMode: "host", UTSMode: "host", PidMode: "host" },
  });
  expect(out.trim().split("\n")).toEqual(
    ["ipc", "net", "uts", "pid"].map((name) => readlinkSync(`/proc/self/ns/${name}`)),
  );
  await expect(run("true", { host: { NetworkMode: "host", Sysctls: { "net.ipv4.ip_forward": "1" } } })).rejects.toThrow(
    'sysctl "net.ipv4.ip_forward" not allowed in host network namespace',
  );
});
