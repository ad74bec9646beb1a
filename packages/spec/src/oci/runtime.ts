/**
 * The OCI runtime-spec 1.3 configuration (`config.json`) for Linux: its types and its decoder.
 *
 * Source: opencontainers/runtime-spec `config.md`, `config-linux.md`, `schema/*.json`. Members of other systems (windows, vm, zos, solaris,
 * freebsd) and unknown members are accepted and dropped: the specification asks runtimes to ignore them.
 */
import { EngineError } from "@fathom/base";
import { between, boolean, decodeDocument, integer, refused, unsigned } from "../decode/decoder.ts";
import {
  described,
  int64,
  list,
  matching,
  nullish,
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
  options: nullish(strings),
  uidMappings: nullish(list(idMapping)),
  gidMappings: nullish(list(idMapping)),
});

const device = described({
  type: oneOf(["c", "b", "u", "p"]),
  path: absolutePath,
  major: omittable(integer),
  minor: omittable(integer),
  fileMode: nullish(uint32),
  uid: nullish(uint32),
  gid: nullish(uint32),
});

const deviceCgroup = described({
  allow: boolean,
  type: omittable(oneOf(["a", "b", "c", ""])),
  major: nullish(integer),
  minor: nullish(integer),
  access: omittable(matching(/^[rwm]*$/, "must be made of r, w and m")),
});

const throttleDevice = described({ major: integer, minor: integer, rate: uint64 });

const resources = described({
  devices: nullish(list(deviceCgroup)),
  memory: nullish(
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
  cpu: nullish(
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
  pids: nullish(described({ limit: nullish(integer) })),
  blockIO: nullish(
    described({
      weight: nullish(unsigned(65535)),
      leafWeight: nullish(unsigned(65535)),
      weightDevice: nullish(
        list(
          described({
            major: integer,
            minor: integer,
            weight: nullish(integer),
            leafWeight: nullish(integer),
          }),
        ),
      ),
      throttleReadBpsDevice: nullish(list(throttleDevice)),
      throttleWriteBpsDevice: nullish(list(throttleDevice)),
      throttleReadIOPSDevice: nullish(list(throttleDevice)),
      throttleWriteIOPSDevice: nullish(list(throttleDevice)),
    }),
  ),
  hugepageLimits: nullish(list(described({ pageSize: text, limit: uint64 }))),
  network: nullish(
    described({
      classID: nullish(uint32),
      priorities: nullish(list(described({ name: text, priority: uint32 }))),
    }),
  ),
  rdma: nullish(record(described({ hcaHandles: nullish(uint32), hcaObjects: nullish(uint32) }))),
  unified: nullish(stringMap),
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
  errnoRet: nullish(uint32),
  args: nullish(list(seccompArgument)),
});

const linuxSeccomp = described({
  defaultAction: oneOf(seccompActions),
  defaultErrnoRet: nullish(uint32),
  architectures: nullish(strings),
  flags: nullish(strings),
  listenerPath: omittable(text),
  listenerMetadata: omittable(text),
  syscalls: nullish(list(seccompRule)),
});

const capabilities = described({
  bounding: nullish(strings),
  effective: nullish(strings),
  inheritable: nullish(strings),
  permitted: nullish(strings),
  ambient: nullish(strings),
});

const user = described({
  uid: uint32,
  gid: uint32,
  umask: nullish(uint32),
  additionalGids: nullish(list(uint32)),
  username: omittable(text),
});

const rlimit = described({ type: text, soft: uint64, hard: uint64 });

const process = described({
  terminal: omittable(boolean),
  consoleSize: nullish(described({ height: unsigned(), width: unsigned() })),
  user: orElse(user, { uid: 0, gid: 0 }, "absent"),
  args: nullish(strings),
  commandLine: omittable(text),
  env: nullish(strings),
  cwd: absolutePath,
  capabilities: nullish(capabilities),
  rlimits: nullish(list(rlimit)),
  noNewPrivileges: omittable(boolean),
  apparmorProfile: omittable(text),
  oomScoreAdj: nullish(between(-1000, 1000)),
  scheduler: nullish(
    described({
      policy: text,
      nice: omittable(integer),
      priority: omittable(integer),
      flags: nullish(strings),
      runtime: omittable(uint64),
      deadline: omittable(uint64),
      period: omittable(uint64),
    }),
  ),
  selinuxLabel: omittable(text),
  ioPriority: nullish(
    described({
      class: oneOf(["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]),
      priority: omittable(integer),
    }),
  ),
  execCPUAffinity: nullish(described({ initial: omittable(text), final: omittable(text) })),
});

const hook = described({
  path: absolutePath,
  args: nullish(strings),
  env: nullish(strings),
  timeout: nullish(between(1, Number.MAX_SAFE_INTEGER)),
});
const hooks = nullish(list(hook));

const linux = described({
  uidMappings: nullish(list(idMapping)),
  gidMappings: nullish(list(idMapping)),
  sysctl: nullish(stringMap),
  resources: nullish(resources),
  cgroupsPath: omittable(text),
  namespaces: nullish(list(namespace)),
  devices: nullish(list(device)),
  netDevices: nullish(record(described({ name: omittable(text) }))),
  seccomp: nullish(linuxSeccomp),
  rootfsPropagation: omittable(text),
  maskedPaths: nullish(strings),
  readonlyPaths: nullish(strings),
  mountLabel: omittable(text),
  intelRdt: nullish(
    described({
      closID: omittable(text),
      schemata: nullish(strings),
      l3CacheSchema: omittable(text),
      memBwSchema: omittable(text),
      enableMonitoring: omittable(boolean),
    }),
  ),
  memoryPolicy: nullish(described({ mode: text, nodes: omittable(text), flags: nullish(strings) })),
  personality: nullish(described({ domain: oneOf(["LINUX", "LINUX32"]), flags: nullish(strings) })),
  timeOffsets: nullish(record(described({ secs: omittable(int64), nanosecs: omittable(uint32) }))),
});

const ociSpec = described({
  ociVersion: text,
  root: nullish(described({ path: nonEmpty, readonly: omittable(boolean) })),
  mounts: nullish(list(mount)),
  process: nullish(process),
  hostname: omittable(text),
  domainname: omittable(text),
  hooks: nullish(
    described({
      prestart: hooks,
      createRuntime: hooks,
      createContainer: hooks,
      startContainer: hooks,
      poststart: hooks,
      poststop: hooks,
    }),
  ),
  annotations: nullish(stringMap),
  linux: nullish(linux),
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
