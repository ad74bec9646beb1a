/**
 * The OCI runtime-spec 1.3 configuration (`config.json`) for Linux: its types and its decoder.
 *
 * Source: opencontainers/runtime-spec `config.md`, `config-linux.md`, `schema/*.json`. Members of other systems (windows, vm, zos, solaris,
 * freebsd) and unknown members are accepted and dropped: the specification asks runtimes to ignore them.
 */
import { EngineError } from "@fathom/base";
import { between, boolean, decodeDocument, integer, refused, unsigned, optional } from "../decode/decoder.ts";
import {
  described,
  int64,
  list,
  matching,
  omittable,
  oneOf,
  orElse,
  record,
  text,
  turned,
  uint64,
  type Decoded,
} from "../decode/exact.ts";
import { parseJsonExactly, seccompActions, seccompOperators } from "./values.ts";

const uint32 = unsigned(0xffff_ffff);
const nonEmpty = turned(text, (value, path) => {
  if (value === "") throw refused(path, "must not be empty");
  return value;
});
const strings = list(text);
const stringMap = record(text);
const absolutePath = matching(/^\//, "must be an absolute path");

const namespace = described({
  type: oneOf(["mount", "pid", "network", "ipc", "uts", "cgroup", "user", "time"]),
  path: omittable(text),
});

const idMapping = described({ containerID: uint32, hostID: uint32, size: uint32 });

const mount = described({
  destination: nonEmpty,
  type: omittable(text),
  source: omittable(text),
  /** Not in the OCI specification: a path inside the source of a bind. It is resolved in that source when the bind is mounted. */
  subpath: omittable(text),
  options: optional(strings),
  uidMappings: optional(list(idMapping)),
  gidMappings: optional(list(idMapping)),
});

const device = described({
  type: oneOf(["c", "b", "u", "p"]),
  path: absolutePath,
  major: omittable(integer),
  minor: omittable(integer),
  fileMode: optional(uint32),
  uid: optional(uint32),
  gid: optional(uint32),
});

const deviceCgroup = described({
  allow: boolean,
  type: omittable(oneOf(["a", "b", "c", ""])),
  major: optional(integer),
  minor: optional(integer),
  access: omittable(matching(/^[rwm]*$/, "must be made of r, w and m")),
});

const throttleDevice = described({ major: integer, minor: integer, rate: uint64 });

const resources = described({
  devices: optional(list(deviceCgroup)),
  memory: optional(
    described({
      limit: omittable(int64),
      reservation: omittable(int64),
      swap: omittable(int64),
      kernel: omittable(int64),
      kernelTCP: omittable(int64),
      swappiness: omittable(uint64),
      disableOOMKiller: omittable(boolean),
      useHierarchy: omittable(boolean),
      checkBeforeUpdate: omittable(boolean),
    }),
  ),
  cpu: optional(
    described({
      shares: omittable(uint64),
      quota: omittable(int64),
      burst: omittable(uint64),
      period: omittable(uint64),
      realtimeRuntime: omittable(int64),
      realtimePeriod: omittable(uint64),
      cpus: omittable(text),
      mems: omittable(text),
      idle: omittable(integer),
    }),
  ),
  pids: optional(described({ limit: optional(integer) })),
  blockIO: optional(
    described({
      weight: optional(unsigned(65535)),
      leafWeight: optional(unsigned(65535)),
      weightDevice: optional(
        list(
          described({
            major: integer,
            minor: integer,
            weight: optional(integer),
            leafWeight: optional(integer),
          }),
        ),
      ),
      throttleReadBpsDevice: optional(list(throttleDevice)),
      throttleWriteBpsDevice: optional(list(throttleDevice)),
      throttleReadIOPSDevice: optional(list(throttleDevice)),
      throttleWriteIOPSDevice: optional(list(throttleDevice)),
    }),
  ),
  hugepageLimits: optional(list(described({ pageSize: text, limit: uint64 }))),
  network: optional(
    described({
      classID: optional(uint32),
      priorities: optional(list(described({ name: text, priority: uint32 }))),
    }),
  ),
  rdma: optional(record(described({ hcaHandles: optional(uint32), hcaObjects: optional(uint32) }))),
  unified: optional(stringMap),
});

const seccompArgument = described({
  index: unsigned(5),
  value: uint64,
  valueTwo: omittable(uint64),
  op: oneOf(seccompOperators),
});

const seccompRule = described({
  names: strings,
  action: oneOf(seccompActions),
  errnoRet: optional(uint32),
  args: optional(list(seccompArgument)),
});

const linuxSeccomp = described({
  defaultAction: oneOf(seccompActions),
  defaultErrnoRet: optional(uint32),
  architectures: optional(strings),
  flags: optional(strings),
  listenerPath: omittable(text),
  listenerMetadata: omittable(text),
  syscalls: optional(list(seccompRule)),
});

const capabilities = described({
  bounding: optional(strings),
  effective: optional(strings),
  inheritable: optional(strings),
  permitted: optional(strings),
  ambient: optional(strings),
});

const user = described({
  uid: uint32,
  gid: uint32,
  umask: optional(uint32),
  additionalGids: optional(list(uint32)),
  username: omittable(text),
});

const rlimit = described({ type: text, soft: uint64, hard: uint64 });

const process = described({
  terminal: omittable(boolean),
  consoleSize: optional(described({ height: unsigned(), width: unsigned() })),
  user: orElse(user, { uid: 0, gid: 0 }, "absent"),
  args: optional(strings),
  commandLine: omittable(text),
  env: optional(strings),
  cwd: absolutePath,
  capabilities: optional(capabilities),
  rlimits: optional(list(rlimit)),
  noNewPrivileges: omittable(boolean),
  apparmorProfile: omittable(text),
  oomScoreAdj: optional(between(-1000, 1000)),
  scheduler: optional(
    described({
      policy: text,
      nice: omittable(integer),
      priority: omittable(integer),
      flags: optional(strings),
      runtime: omittable(uint64),
      deadline: omittable(uint64),
      period: omittable(uint64),
    }),
  ),
  selinuxLabel: omittable(text),
  ioPriority: optional(
    described({
      class: oneOf(["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]),
      priority: omittable(integer),
    }),
  ),
  execCPUAffinity: optional(described({ initial: omittable(text), final: omittable(text) })),
});

const hook = described({
  path: absolutePath,
  args: optional(strings),
  env: optional(strings),
  timeout: optional(between(1, Number.MAX_SAFE_INTEGER)),
});
const hooks = optional(list(hook));

const linux = described({
  uidMappings: optional(list(idMapping)),
  gidMappings: optional(list(idMapping)),
  sysctl: optional(stringMap),
  resources: optional(resources),
  cgroupsPath: omittable(text),
  namespaces: optional(list(namespace)),
  devices: optional(list(device)),
  netDevices: optional(record(described({ name: omittable(text) }))),
  seccomp: optional(linuxSeccomp),
  rootfsPropagation: omittable(text),
  maskedPaths: optional(strings),
  readonlyPaths: optional(strings),
  mountLabel: omittable(text),
  intelRdt: optional(
    described({
      closID: omittable(text),
      schemata: optional(strings),
      l3CacheSchema: omittable(text),
      memBwSchema: omittable(text),
      enableMonitoring: omittable(boolean),
    }),
  ),
  memoryPolicy: optional(described({ mode: text, nodes: omittable(text), flags: optional(strings) })),
  personality: optional(described({ domain: oneOf(["LINUX", "LINUX32"]), flags: optional(strings) })),
  timeOffsets: optional(record(described({ secs: omittable(int64), nanosecs: omittable(uint32) }))),
});

const ociSpec = described({
  ociVersion: text,
  root: optional(described({ path: nonEmpty, readonly: omittable(boolean) })),
  mounts: optional(list(mount)),
  process: optional(process),
  hostname: omittable(text),
  domainname: omittable(text),
  hooks: optional(
    described({
      prestart: hooks,
      createRuntime: hooks,
      createContainer: hooks,
      startContainer: hooks,
      poststart: hooks,
      poststop: hooks,
    }),
  ),
  annotations: optional(stringMap),
  linux: optional(linux),
});

export type OciSpec = Decoded<typeof ociSpec>;
export type OciProcess = Decoded<typeof process>;
export type OciMount = Decoded<typeof mount>;
export type OciRlimit = Decoded<typeof rlimit>;
export type LinuxConfig = Decoded<typeof linux>;
export type LinuxNamespace = Decoded<typeof namespace>;
export type LinuxDevice = Decoded<typeof device>;
export type LinuxDeviceCgroup = Decoded<typeof deviceCgroup>;
export type LinuxResources = Decoded<typeof resources>;
export type LinuxIdMapping = Decoded<typeof idMapping>;
export type LinuxSeccomp = Decoded<typeof linuxSeccomp>;
export type LinuxSeccompRule = Decoded<typeof seccompRule>;
export type LinuxSeccompArgument = Decoded<typeof seccompArgument>;

/**
 * Parses the text of a config.json.
 * Errors: EngineError "invalid-argument". Its message names each wrong member by its path, and the problem.
 */
export function parseOciSpec(json: string): OciSpec {
  let value: unknown;
  try {
    value = parseJsonExactly(json);
  } catch (error) {
    throw new EngineError("invalid-argument", `config.json is not JSON: ${String(error)}`, { cause: error });
  }
  return checkOciSpec(value);
}

/** Like parseOciSpec, for an already parsed value. */
export function checkOciSpec(value: unknown): OciSpec {
  return decodeDocument(ociSpec, value, "config.json");
}
