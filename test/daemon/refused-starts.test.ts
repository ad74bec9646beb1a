/** Rejected starts, early or late, free everything that was made for them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TestDaemon } from "./harness.ts";
import { heldMore, settledHoldings } from "./settled-holdings.ts";

const daemon = new TestDaemon("refused");

beforeAll(async () => {
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close());

const host = (HostConfig: object): object => ({ HostConfig });
/** Each is rejected at another step: some at create, most during the start. */
const refused: Readonly<Record<string, object>> = {
  "a volume below /proc": { Volumes: { "/proc/sys": {} } },
  "a volume on /proc": { Volumes: { "/proc": {} } },
  "a relative masked path": host({ MaskedPaths: ["x"] }),
  "a relative read-only path": host({ ReadonlyPaths: ["x"] }),
  "an unknown ulimit": host({ Ulimits: [{ Name: "nosuch", Soft: 1, Hard: 1 }] }),
  "a soft limit above the hard one": host({ Ulimits: [{ Name: "nofile", Soft: 5, Hard: 1 }] }),
  "a hard limit above the system's": host({ Ulimits: [{ Name: "nofile", Soft: 1, Hard: 2 ** 40 }] }),
  "a sysctl of no namespace": host({ Sysctls: { "kernel.panic": "1" } }),
  "a sysctl that is not there": host({ Sysctls: { "net.nosuch.x": "1" } }),
  "a sysctl with a wrong value": host({ Sysctls: { "net.ipv4.ip_forward": "nonsense" } }),
  "a sysctl that is no name": host({ Sysctls: { "..": "1" } }),
  "a program that is not there": { Cmd: ["/nosuch"] },
  "a program that is a directory": { Cmd: ["/bin"] },
  "a user that is not there": { User: "nosuch" },
  "a group that is not there": host({ GroupAdd: ["nosuch"] }),
  "a device that is not there": host({
    Devices: [{ PathOnHost: "/dev/nosuch", PathInContainer: "/dev/x", CgroupPermissions: "rwm" }],
  }),
  "a network that is not there": host({ NetworkMode: "nosuch" }),
  "the network of nobody": host({ NetworkMode: "container:nosuch" }),
  "a source that is no directory": host({ Binds: ["/dev/null/x:/x"] }),
  "two modes that exclude each other": host({
    Mounts: [
      {
        Type: "bind",
        Source: "/",
        Target: "/x",
        ReadOnly: true,
        BindOptions: { ReadOnlyNonRecursive: true, ReadOnlyForceRecursive: true },
      },
    ],
  }),
  "an argument with a NUL byte": { Cmd: ["true", "a\0b"] },
  "a variable without a name": { Env: ["a\0=b"] },
  "a working directory that is a file": { WorkingDir: "/bin/busybox" },
  "a wrong seccomp profile": host({ SecurityOpt: ['seccomp={"defaultAction":"SCMP_ACT_NOSUCH"}'] }),
  "a profile that kills": host({ SecurityOpt: ['seccomp={"defaultAction":"SCMP_ACT_KILL"}'] }),
  "a profile without execve": host({
    SecurityOpt: [
      'seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["execve"],"action":"SCMP_ACT_ERRNO"}]}',
    ],
  }),
  "a tmpfs in the place of /dev/null": host({ Tmpfs: { "/dev/null": "" } }),
  "a device below a read-only bind": host({
    Binds: ["/usr:/x:ro"],
    Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/x/fathom-nosuch", CgroupPermissions: "r" }],
  }),
  "a device rule that no device has": host({ DeviceCgroupRules: ["c 999999999999:1 rwm"] }),
  "a cgroup below a file": host({ CgroupParent: `${daemon.cgroupParent}/cgroup.procs` }),
  "more groups than there are": host({ GroupAdd: Array.from({ length: 65_537 }, (_, index) => String(index)) }),
  "more masked paths than a plan has room for": host({
    MaskedPaths: Array.from({ length: 20_000 }, (_, index) => `/m${index}`),
  }),
  "more mounts than a plan has room for": host({
    Tmpfs: Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`/m${index}`, ""])),
  }),
  "more arguments than a plan has room for": { Cmd: Array.from({ length: 300_000 }, () => "a") },
  "a source below /proc": host({ Binds: ["/proc/self/fd/9999:/x"] }),
  ...Object.fromEntries(
    [
      { type: "ext4", device: "/nosuch", o: "" },
      { type: "none", device: "/nosuch", o: "bind" },
      { type: "tmpfs", device: "tmpfs", o: "size=banana" },
      { type: "nosuch", device: "none", o: "" },
    ].map((Options, index) => [
      `a volume that cannot be mounted, ${Options.type}`,
      host({
        Mounts: [
          {
            Type: "volume",
            Source: `wrong${index}`,
            Target: "/x",
            VolumeOptions: { DriverConfig: { Name: "local", Options } },
          },
        ],
      }),
    ]),
  ),
  "a host name with a NUL byte": { Hostname: "a\0b" },
  "an address outside of the network": {
    NetworkingConfig: { EndpointsConfig: { bridge: { IPAMConfig: { IPv4Address: "203.0.113.5" } } } },
  },
};
const rounds = 6;

test(`${rounds * Object.keys(refused).length} starts of ${Object.keys(refused).length} kinds leave nothing`, async () => {
  const once = async (): Promise<string[]> => {
    const wrong: string[] = [];
    for (const [what, body] of Object.entries(refused)) {
      const made = await daemon.api<{ Id: string; message: string }>("POST", "/containers/create", {
        Image: daemon.image,
        Cmd: ["true"],
        ...body,
      });
      if (made.status !== 201) {
        if (made.status >= 500) wrong.push(`${what}: create: ${made.status} ${made.json.message}`);
        continue;
      }
      const started = await daemon.api<{ message: string }>("POST", `/containers/${made.json.Id}/start`);
      if (started.status < 300) wrong.push(`${what}: it starts`);
      if (started.status >= 500) wrong.push(`${what}: start: ${started.status} ${started.json.message}`);
      await daemon.api("DELETE", `/containers/${made.json.Id}?force=1&v=1`);
    }
    return wrong;
  };
  // The first time makes things that stay: caches, the bridge.
  const wrong = await once();
  const before = await settledHoldings(daemon);
  for (let round = 1; round < rounds; round++) await once();
  expect(await heldMore(daemon, before)).toEqual([]);
  expect(wrong).toEqual([]);
}, 240_000);
