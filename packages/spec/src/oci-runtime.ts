/**
 * The OCI runtime-spec 1.3 configuration (`config.json`) for Linux: its types and the schema that parses one.
 *
 * Source: opencontainers/runtime-spec `config.md`, `config-linux.md`, `schema/*.json`. Members of other systems (windows, vm,
 * zos, solaris, freebsd) are accepted and dropped, as are unknown members: the specification asks runtimes to ignore them.
 *
 * Types come from @fathom/spec itself; the parser, with its schema library, from @fathom/spec/oci-runtime.
 */
import { EngineError } from "@fathom/base";
import { z } from "zod";
import { parseJsonExactly, seccompActions, seccompOperators } from "./oci-values.ts";

const uint32 = z.number().int().min(0).max(0xffff_ffff);
const int64 = z.union([z.number().int(), z.bigint()]);
/** Up to 2^64-1: a bigint where a number would lose digits. */
const uint64 = z.union([z.number().int().min(0), z.bigint().min(0n)]);
const strings = z.array(z.string());
const stringMap = z.record(z.string(), z.string());
const absolutePath = z.string().startsWith("/", "must be an absolute path");

const namespaceSchema = z.object({
  type: z.enum(["mount", "pid", "network", "ipc", "uts", "cgroup", "user", "time"]),
  path: z.string().optional(),
});

const idMappingSchema = z.object({ containerID: uint32, hostID: uint32, size: uint32 });

const mountSchema = z.object({
  destination: z.string().min(1),
  type: z.string().optional(),
  source: z.string().optional(),
  /** Not of the OCI specification: a path inside a bind's source, resolved there when it is mounted. */
  subpath: z.string().optional(),
  options: strings.nullish(),
  uidMappings: z.array(idMappingSchema).nullish(),
  gidMappings: z.array(idMappingSchema).nullish(),
});

const deviceSchema = z.object({
  type: z.enum(["c", "b", "u", "p"]),
  path: absolutePath,
  major: z.number().int().optional(),
  minor: z.number().int().optional(),
  fileMode: uint32.nullish(),
  uid: uint32.nullish(),
  gid: uint32.nullish(),
});

const deviceCgroupSchema = z.object({
  allow: z.boolean(),
  type: z.enum(["a", "b", "c", ""]).optional(),
  major: z.number().int().nullish(),
  minor: z.number().int().nullish(),
  access: z
    .string()
    .regex(/^[rwm]*$/, "must be made of r, w and m")
    .optional(),
});

const throttleDeviceSchema = z.object({ major: z.number().int(), minor: z.number().int(), rate: uint64 });

const resourcesSchema = z.object({
  devices: z.array(deviceCgroupSchema).nullish(),
  memory: z
    .object({
      limit: int64.optional(),
      reservation: int64.optional(),
      swap: int64.optional(),
      kernel: int64.optional(),
      kernelTCP: int64.optional(),
      swappiness: uint64.optional(),
      disableOOMKiller: z.boolean().optional(),
      useHierarchy: z.boolean().optional(),
      checkBeforeUpdate: z.boolean().optional(),
    })
    .nullish(),
  cpu: z
    .object({
      shares: uint64.optional(),
      quota: int64.optional(),
      burst: uint64.optional(),
      period: uint64.optional(),
      realtimeRuntime: int64.optional(),
      realtimePeriod: uint64.optional(),
      cpus: z.string().optional(),
      mems: z.string().optional(),
      idle: z.number().int().optional(),
    })
    .nullish(),
  pids: z.object({ limit: z.number().int().nullish() }).nullish(),
  blockIO: z
    .object({
      weight: z.number().int().min(0).max(65535).nullish(),
      leafWeight: z.number().int().min(0).max(65535).nullish(),
      weightDevice: z
        .array(
          z.object({
            major: z.number().int(),
            minor: z.number().int(),
            weight: z.number().int().nullish(),
            leafWeight: z.number().int().nullish(),
          }),
        )
        .nullish(),
      throttleReadBpsDevice: z.array(throttleDeviceSchema).nullish(),
      throttleWriteBpsDevice: z.array(throttleDeviceSchema).nullish(),
      throttleReadIOPSDevice: z.array(throttleDeviceSchema).nullish(),
      throttleWriteIOPSDevice: z.array(throttleDeviceSchema).nullish(),
    })
    .nullish(),
  hugepageLimits: z.array(z.object({ pageSize: z.string(), limit: uint64 })).nullish(),
  network: z
    .object({
      classID: uint32.nullish(),
      priorities: z.array(z.object({ name: z.string(), priority: uint32 })).nullish(),
    })
    .nullish(),
  rdma: z.record(z.string(), z.object({ hcaHandles: uint32.nullish(), hcaObjects: uint32.nullish() })).nullish(),
  unified: stringMap.nullish(),
});

const seccompArgumentSchema = z.object({
  index: z.number().int().min(0).max(5),
  value: uint64,
  valueTwo: uint64.optional(),
  op: z.enum(seccompOperators),
});

const seccompRuleSchema = z.object({
  names: strings,
  action: z.enum(seccompActions),
  errnoRet: uint32.nullish(),
  args: z.array(seccompArgumentSchema).nullish(),
});

const linuxSeccompSchema = z.object({
  defaultAction: z.enum(seccompActions),
  defaultErrnoRet: uint32.nullish(),
  architectures: strings.nullish(),
  flags: strings.nullish(),
  listenerPath: z.string().optional(),
  listenerMetadata: z.string().optional(),
  syscalls: z.array(seccompRuleSchema).nullish(),
});

const capabilitiesSchema = z.object({
  bounding: strings.nullish(),
  effective: strings.nullish(),
  inheritable: strings.nullish(),
  permitted: strings.nullish(),
  ambient: strings.nullish(),
});

const userSchema = z.object({
  uid: uint32,
  gid: uint32,
  umask: uint32.nullish(),
  additionalGids: z.array(uint32).nullish(),
  username: z.string().optional(),
});

const rlimitSchema = z.object({ type: z.string(), soft: uint64, hard: uint64 });

const processSchema = z.object({
  terminal: z.boolean().optional(),
  consoleSize: z.object({ height: z.number().int().min(0), width: z.number().int().min(0) }).nullish(),
  user: userSchema.default({ uid: 0, gid: 0 }),
  args: strings.nullish(),
  commandLine: z.string().optional(),
  env: strings.nullish(),
  cwd: absolutePath,
  capabilities: capabilitiesSchema.nullish(),
  rlimits: z.array(rlimitSchema).nullish(),
  noNewPrivileges: z.boolean().optional(),
  apparmorProfile: z.string().optional(),
  oomScoreAdj: z.number().int().min(-1000).max(1000).nullish(),
  scheduler: z
    .object({
      policy: z.string(),
      nice: z.number().int().optional(),
      priority: z.number().int().optional(),
      flags: strings.nullish(),
      runtime: uint64.optional(),
      deadline: uint64.optional(),
      period: uint64.optional(),
    })
    .nullish(),
  selinuxLabel: z.string().optional(),
  ioPriority: z
    .object({
      class: z.enum(["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]),
      priority: z.number().int().optional(),
    })
    .nullish(),
  execCPUAffinity: z.object({ initial: z.string().optional(), final: z.string().optional() }).nullish(),
});

const hookSchema = z.object({
  path: absolutePath,
  args: strings.nullish(),
  env: strings.nullish(),
  timeout: z.number().int().min(1).nullish(),
});
const hooks = z.array(hookSchema).nullish();

const linuxSchema = z.object({
  uidMappings: z.array(idMappingSchema).nullish(),
  gidMappings: z.array(idMappingSchema).nullish(),
  sysctl: stringMap.nullish(),
  resources: resourcesSchema.nullish(),
  cgroupsPath: z.string().optional(),
  namespaces: z.array(namespaceSchema).nullish(),
  devices: z.array(deviceSchema).nullish(),
  netDevices: z.record(z.string(), z.object({ name: z.string().optional() })).nullish(),
  seccomp: linuxSeccompSchema.nullish(),
  rootfsPropagation: z.string().optional(),
  maskedPaths: strings.nullish(),
  readonlyPaths: strings.nullish(),
  mountLabel: z.string().optional(),
  intelRdt: z
    .object({
      closID: z.string().optional(),
      schemata: strings.nullish(),
      l3CacheSchema: z.string().optional(),
      memBwSchema: z.string().optional(),
      enableMonitoring: z.boolean().optional(),
    })
    .nullish(),
  memoryPolicy: z.object({ mode: z.string(), nodes: z.string().optional(), flags: strings.nullish() }).nullish(),
  personality: z.object({ domain: z.enum(["LINUX", "LINUX32"]), flags: strings.nullish() }).nullish(),
  timeOffsets: z.record(z.string(), z.object({ secs: int64.optional(), nanosecs: uint32.optional() })).nullish(),
});

export const ociSpecSchema = z.object({
  ociVersion: z.string(),
  root: z.object({ path: z.string().min(1), readonly: z.boolean().optional() }).nullish(),
  mounts: z.array(mountSchema).nullish(),
  process: processSchema.nullish(),
  hostname: z.string().optional(),
  domainname: z.string().optional(),
  hooks: z
    .object({
      prestart: hooks,
      createRuntime: hooks,
      createContainer: hooks,
      startContainer: hooks,
      poststart: hooks,
      poststop: hooks,
    })
    .nullish(),
  annotations: stringMap.nullish(),
  linux: linuxSchema.nullish(),
});

export type OciSpec = z.infer<typeof ociSpecSchema>;
export type OciProcess = z.infer<typeof processSchema>;
export type OciMount = z.infer<typeof mountSchema>;
export type OciUser = z.infer<typeof userSchema>;
export type OciRlimit = z.infer<typeof rlimitSchema>;
export type OciHook = z.infer<typeof hookSchema>;
export type LinuxConfig = z.infer<typeof linuxSchema>;
export type LinuxNamespace = z.infer<typeof namespaceSchema>;
export type LinuxDevice = z.infer<typeof deviceSchema>;
export type LinuxDeviceCgroup = z.infer<typeof deviceCgroupSchema>;
export type LinuxResources = z.infer<typeof resourcesSchema>;
export type LinuxCapabilities = z.infer<typeof capabilitiesSchema>;
export type LinuxIdMapping = z.infer<typeof idMappingSchema>;
export type LinuxSeccomp = z.infer<typeof linuxSeccompSchema>;
export type LinuxSeccompRule = z.infer<typeof seccompRuleSchema>;
export type LinuxSeccompArgument = z.infer<typeof seccompArgumentSchema>;
/**
 * Parses the text of a config.json.
 * Errors: EngineError "invalid-argument" that names each wrong member by its path and what is wrong with it.
 */
export function parseOciSpec(text: string): OciSpec {
  let value: unknown;
  try {
    value = parseJsonExactly(text);
  } catch (error) {
    throw new EngineError("invalid-argument", `config.json is not JSON: ${String(error)}`, { cause: error });
  }
  return checkOciSpec(value);
}

/** As parseOciSpec, for a value that is parsed already. */
export function checkOciSpec(value: unknown): OciSpec {
  const result = ociSpecSchema.safeParse(value);
  if (result.success) return result.data;
  throw new EngineError("invalid-argument", `config.json: ${describeIssues(result.error)}`, { cause: result.error });
}

/** "linux.namespaces[0].type: Invalid option …; process.cwd: …" with at most five entries. */
function describeIssues(error: z.ZodError): string {
  const lines = error.issues.slice(0, 5).map((issue) => {
    const path = issue.path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
    return `${path.replace(/^\./, "") || "the document"}: ${issue.message}`;
  });
  const more = error.issues.length - lines.length;
  return lines.join("; ") + (more > 0 ? `; and ${more} more` : "");
}
