import { expect, test } from "bun:test";
import type { ContainerConfig, ContainerCreateRequest, HostConfig } from "@fathom/spec";
import { checkConfig } from "./check-config.ts";
import { testHost } from "../testing/oci-fixtures.ts";
import type { HostFacts } from "./host-facts.ts";
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";

function check(
  host: Partial<HostConfig>,
  config: Partial<ContainerConfig> = {},
  facts: HostFacts = testHost,
): string[] {
  const whole = { ...emptyContainerConfig, ...config };
  const hostConfig = { ...emptyHostConfig, ...host };
  const request: ContainerCreateRequest = {
    ...whole,
    HostConfig: hostConfig,
    NetworkingConfig: { EndpointsConfig: {} },
  };
  return checkConfig(whole, hostConfig, request, facts);
}

const MiB = 1 << 20;

test("limits that contradict each other or the machine are rejected in Docker's words", () => {
  const cases: readonly [Partial<HostConfig>, string][] = [
    [{ Memory: 1024 }, "Minimum memory limit allowed is 6MB"],
    [
      { Memory: 64 * MiB, MemorySwap: 32 * MiB },
      "Minimum memoryswap limit should be larger than memory limit, see usage",
    ],
    [{ MemorySwap: 32 * MiB }, "You should always set the Memory limit when using Memoryswap limit, see usage"],
    [{ MemorySwappiness: 101 }, "Invalid value: 101, valid memory swappiness range is 0-100"],
    [{ MemoryReservation: 1 }, "Minimum memory reservation allowed is 6MB"],
    [
      { Memory: 8 * MiB, MemoryReservation: 9 * MiB },
      "Minimum memory limit can not be less than memory reservation limit, see usage",
    ],
    [{ NanoCpus: 1e9, CpuPeriod: 1000 }, "Conflicting options: Nano CPUs and CPU Period cannot both be set"],
    [{ NanoCpus: 1e9, CpuQuota: 1000 }, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"],
    [{ NanoCpus: 5e9 }, "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"],
    [{ CpuShares: -1 }, "invalid CPU shares (-1): value must be a positive integer"],
    [{ CpuPeriod: 999 }, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"],
    [{ CpuQuota: 999 }, "CPU cfs quota can not be less than 1ms (i.e. 1000)"],
    [{ CpusetCpus: "x" }, "Invalid value x for cpuset cpus: invalid format: x"],
    [{ CpusetCpus: "3-1" }, "Invalid value 3-1 for cpuset cpus: invalid format: 3-1"],
    [{ CpusetCpus: "0,99" }, "Requested CPUs are not available - requested 0,99, available: 0-3"],
    [{ CpusetMems: "1" }, "Requested memory nodes are not available - requested 1, available: 0"],
    [{ BlkioWeight: 5 }, "Range of blkio weight is from 10 to 1000"],
    [{ OomScoreAdj: 5000 }, "Invalid value 5000, range for oom score adj is [-1000, 1000]"],
    [{ ShmSize: -1 }, "SHM size can not be less than 0"],
    [{ Memory: 64 * MiB, MemorySwap: -2 }, "Invalid value: -2, valid memory swap is -1"],
    [{ MemoryReservation: -5 }, "Minimum memory reservation allowed is 6MB"],
    [{ PidsLimit: 2 ** 31 }, "Invalid value: 2147483648, a PIDs limit is at most 4194304"],
    [{ Ulimits: [{ Name: "nosuch", Soft: 1, Hard: 1 }] }, "invalid ulimit type: nosuch"],
    [{ Ulimits: [{ Name: "core", Soft: -2, Hard: -1 }] }, "invalid ulimit core: -2 is neither -1"],
    [
      { Ulimits: [{ Name: "core", Soft: 5, Hard: 1 }] },
      "ulimit soft limit must be less than or equal to hard limit: 5 > 1",
    ],
    [
      { Ulimits: [{ Name: "core", Soft: -1, Hard: 1 }] },
      "ulimit soft limit must be less than or equal to hard limit: unlimited > 1",
    ],
  ];
  for (const [host, message] of cases) expect(() => check(host)).toThrow(message);
  expect(check({ Memory: 64 * MiB, MemorySwap: -1, CpusetCpus: "0-1,3", NanoCpus: 4e9, PidsLimit: -1 })).toEqual([]);
});

test("limits that the kernel does not have give warnings", () => {
  const none = Object.fromEntries(Object.keys(testHost.limits).map((key) => [key, false]));
  const bare: HostFacts = {
    ...testHost,
    ipv4Forwarding: false,
    limits: { ...testHost.limits, ...none, availableCpus: "", availableMems: "" },
  };
  const asked = {
    Memory: 64 * MiB,
    MemorySwap: 128 * MiB,
    OomKillDisable: true,
    PidsLimit: 5,
    CpuShares: 5,
    CpuQuota: 5000,
    CpusetCpus: "0",
    BlkioWeight: 100,
  };
  const warnings = check(asked, {}, bare);
  expect(warnings).toHaveLength(8);
  expect(warnings[0]).toBe(
    "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
  );
  expect(warnings.at(-1)).toBe("IPv4 forwarding is disabled. Networking will not work.");
  const noSwap: HostFacts = { ...testHost, limits: { ...testHost.limits, memorySwap: false } };
  expect(check({ Memory: 64 * MiB, MemorySwap: 128 * MiB }, {}, noSwap)).toEqual([
    "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
  ]);
  expect(check({ OomKillDisable: true })[0]).toMatch(/no memory limit is set/);
});

test("an update checks only the limits", () => {
  const hostConfig = { ...emptyHostConfig, MemorySwap: 32 * MiB, CapAdd: ["NOSUCH"] };
  expect(checkConfig(emptyContainerConfig, hostConfig, undefined, testHost)).toEqual([]);
});

test("capabilities, modes and options", () => {
  const cases: readonly [Partial<HostConfig>, string][] = [
    [{ CapAdd: ["NOSUCH"] }, 'invalid CapAdd: unknown capability: "CAP_NOSUCH"'],
    [{ CapDrop: ["CAP_NOSUCH"] }, 'invalid CapDrop: unknown capability: "CAP_NOSUCH"'],
    [
      { CapAdd: ["sys_resource"] },
      'invalid CapAdd: capability not supported by your kernel or not available in the current environment: "CAP_SYS_RESOURCE"',
    ],
    [{ IpcMode: "nosuch" }, "invalid IPC mode: nosuch"],
    [{ IpcMode: "container:" }, "invalid IPC mode: container:"],
    [{ PidMode: "private" }, "invalid PID mode: private"],
    [{ UTSMode: "x" }, "invalid UTS mode: x"],
    [{ CgroupnsMode: "x" }, "invalid cgroup namespace mode: x"],
    [{ UsernsMode: "keep-id" }, "invalid USER mode: keep-id"],
    [{ MaskedPaths: ["x"] }, 'invalid MaskedPaths: "x" is not an absolute path'],
    [{ ReadonlyPaths: [""] }, 'invalid ReadonlyPaths: "" is not an absolute path'],
    [{ CgroupParent: "a\nb" }, 'invalid cgroup parent "a\\nb": it has control characters or ".." in it'],
    [{ CgroupParent: "/a/../../b" }, "invalid cgroup parent"],
    [{ CgroupParent: "x".repeat(256) }, "the name is too long"],
    [{ Isolation: "hyperv" }, "invalid isolation (hyperv): linux only supports 'default'"],
    [{ SecurityOpt: ["nosuchopt"] }, 'invalid --security-opt 1: "nosuchopt"'],
    [{ SecurityOpt: ["nosuch=1"] }, 'invalid --security-opt 2: "nosuch=1"'],
    [
      { DeviceCgroupRules: ["c 4294967296:1 r"] },
      "invalid device cgroup rule 'c 4294967296:1 r': a device number is at most 4294967295",
    ],
    [{ DeviceCgroupRules: ["nonsense"] }, "invalid device cgroup rule format: 'nonsense'"],
    [{ Annotations: { "": "x" } }, "the empty string is not permitted as an annotation key"],
    [{ StorageOpt: { size: "1G" } }, "HostConfig.StorageOpt is not supported yet"],
    [{ BlkioDeviceReadBps: [{ Path: "/dev/sda", Rate: 1 }] }, "HostConfig.BlkioDeviceReadBps is not supported yet"],
  ];
  for (const [host, message] of cases) expect(() => check(host)).toThrow(message);
  expect(() => check({ Runtime: "nope" })).toThrow("unknown or invalid runtime name: nope");
  for (const Runtime of ["", "fathom", "runc", "io.containerd.runc.v2"]) expect(check({ Runtime })).toEqual([]);
  const fine = {
    IpcMode: "container:x",
    PidMode: "host",
    CapAdd: ["all"],
    SecurityOpt: [
      "no-new-privileges",
      "no-new-privileges=false",
      "label=disable",
      "apparmor=unconfined",
      "seccomp:unconfined",
      "writable-cgroups=true",
    ],
  };
  expect(check(fine)).toEqual([]);
  expect(check({ NetworkMode: "host", PortBindings: { "80/tcp": [] } })).toEqual([
    "Published ports are discarded when using host network mode",
  ]);
});

test("the container's own configuration", () => {
  const cases: readonly [Partial<ContainerConfig>, string][] = [
    [{ Hostname: "x".repeat(65) }, "is too long (maximum 64 bytes)"],
    [{ Hostname: "ü".repeat(33) }, "is too long (maximum 64 bytes)"],
    [{ Domainname: "x".repeat(65) }, "is too long (maximum 64 bytes)"],
    [{ WorkingDir: "relative" }, "the working directory 'relative' is invalid, it needs to be an absolute path"],
    [{ Healthcheck: { Interval: 5 } }, "Interval in Healthcheck cannot be less than 1ms"],
    [{ Healthcheck: { Retries: -1 } }, "Retries in Healthcheck cannot be negative"],
  ];
  for (const [config, message] of cases) expect(() => check({}, config)).toThrow(message);
});

test("lists that would make everybody wait are rejected by their length", () => {
  const names = (count: number, make = (index: number) => `a${index}`): string[] =>
    Array.from({ length: count }, (_, i) => make(i));
  const record = (count: number): Record<string, string> => Object.fromEntries(names(count).map((name) => [name, ""]));
  const hosts: readonly Partial<HostConfig>[] = [
    { Binds: names(2049) },
    { Tmpfs: record(2049) },
    { Devices: names(2049).map((path) => ({ PathOnHost: path, PathInContainer: path, CgroupPermissions: "r" })) },
    { DeviceCgroupRules: names(2049, (index) => `c ${index}:1 r`) },
    { MaskedPaths: names(2049) },
    { ReadonlyPaths: names(2049) },
    { Sysctls: record(2049) },
    { Ulimits: names(2049).map(() => ({ Name: "nofile", Soft: 1, Hard: 1 })) },
    { SecurityOpt: names(2049) },
    { GroupAdd: names(65_537) },
  ];
  for (const host of hosts)
    expect(() => check(host)).toThrow(/^invalid [A-Z]\w+: (2049|65537) entries, more than the limit of (2048|65536)$/);
  const configs: readonly Partial<ContainerConfig>[] = [
    { Cmd: names(65_537) },
    { Entrypoint: names(65_537) },
    { Env: names(65_537) },
    { Volumes: Object.fromEntries(names(1025).map((name) => [`/${name}`, {}])) },
  ];
  for (const config of configs) expect(() => check({}, config)).toThrow("entries, more than the limit of");
  check({ Tmpfs: record(2048), GroupAdd: names(65_536) }, { Cmd: names(65_536) });
});
