/** Bodies of the container endpoints. */
import { EngineError } from "@fathom/base";
import type { ContainerConfig, HealthConfig } from "../container-config.ts";
import type { ContainerCreateRequest, ContainerUpdateRequest } from "../container.ts";
import type { ExecCreateRequest, ExecStartRequest } from "../exec.ts";
import type {
  DeviceMapping,
  DeviceRequest,
  HostConfig,
  LogConfig,
  Mount,
  PortBinding,
  Resources,
  RestartPolicy,
  ThrottleDevice,
  Ulimit,
  WeightDevice,
} from "../host-config.ts";
import { address, portKey } from "./addresses.ts";
import { endpointSettings } from "./network.ts";
import {
  boolean,
  decodeBody,
  integer,
  isObject,
  optional,
  unsigned,
  type Decoder,
  type Fields,
} from "../../decode/decoder.ts";
import { array, emptyObject, map, nullable, pair, string, struct, whole } from "../../decode/go.ts";

const strings = nullable(array(string));
const optionalStrings = optional(array(string));
const stringMap = map(string);

const healthFields = struct<HealthConfig>({
  Test: optionalStrings,
  Interval: optional(integer),
  Timeout: optional(integer),
  StartPeriod: optional(integer),
  StartInterval: optional(integer),
  Retries: optional(integer),
});

/** Zero means the same as absent; both are printed as absent. */
const healthConfig: Decoder<HealthConfig> = {
  zero: undefined,
  decode: (value, path) =>
    Object.fromEntries(
      Object.entries(healthFields.decode(value, path)).filter(
        ([, entry]) => entry !== 0 && !(Array.isArray(entry) && entry.length === 0),
      ),
    ),
};

const configFields = {
  Hostname: string,
  Domainname: string,
  User: string,
  AttachStdin: boolean,
  AttachStdout: boolean,
  AttachStderr: boolean,
  ExposedPorts: optional(map(emptyObject, portKey)),
  Tty: boolean,
  OpenStdin: boolean,
  StdinOnce: boolean,
  Env: strings,
  Cmd: strings,
  Healthcheck: optional(healthConfig),
  ArgsEscaped: optional(boolean),
  Image: string,
  Volumes: nullable(map(emptyObject)),
  WorkingDir: string,
  Entrypoint: strings,
  NetworkDisabled: optional(boolean),
  OnBuild: optionalStrings,
  Labels: nullable(stringMap),
  StopSignal: optional(string),
  StopTimeout: optional(integer),
  Shell: optionalStrings,
  MacAddress: optional(string),
};

const containerConfig = struct<ContainerConfig>(configFields);

const throttleDevices = nullable(array(struct<ThrottleDevice>({ Path: string, Rate: unsigned() })));

const resourceFields: Fields<Resources> = {
  CpuShares: integer,
  Memory: integer,
  NanoCpus: integer,
  CgroupParent: string,
  BlkioWeight: unsigned(65535),
  BlkioWeightDevice: nullable(array(struct<WeightDevice>({ Path: string, Weight: unsigned(65535) }))),
  BlkioDeviceReadBps: throttleDevices,
  BlkioDeviceWriteBps: throttleDevices,
  BlkioDeviceReadIOps: throttleDevices,
  BlkioDeviceWriteIOps: throttleDevices,
  CpuPeriod: integer,
  CpuQuota: integer,
  CpuRealtimePeriod: integer,
  CpuRealtimeRuntime: integer,
  CpusetCpus: string,
  CpusetMems: string,
  Devices: nullable(
    array(struct<DeviceMapping>({ PathOnHost: string, PathInContainer: string, CgroupPermissions: string })),
  ),
  DeviceCgroupRules: strings,
  DeviceRequests: nullable(
    array(
      struct<DeviceRequest>({
        Driver: string,
        Count: integer,
        DeviceIDs: strings,
        Capabilities: nullable(array(array(string))),
        Options: nullable(stringMap),
      }),
    ),
  ),
  MemoryReservation: integer,
  MemorySwap: integer,
  MemorySwappiness: nullable(integer),
  OomKillDisable: nullable(boolean),
  PidsLimit: nullable(integer),
  Ulimits: nullable(array(struct<Ulimit>({ Name: string, Hard: integer, Soft: integer }))),
  CpuCount: integer,
  CpuPercent: integer,
  IOMaximumIOps: unsigned(),
  IOMaximumBandwidth: unsigned(),
};

const mount = struct<Mount>({
  Type: optional(string),
  Source: optional(string),
  Target: optional(string),
  ReadOnly: optional(boolean),
  Consistency: optional(string),
  BindOptions: optional(
    struct<NonNullable<Mount["BindOptions"]>>({
      Propagation: optional(string),
      NonRecursive: optional(boolean),
      CreateMountpoint: optional(boolean),
      ReadOnlyNonRecursive: optional(boolean),
      ReadOnlyForceRecursive: optional(boolean),
    }),
  ),
  VolumeOptions: optional(
    struct<NonNullable<Mount["VolumeOptions"]>>({
      NoCopy: optional(boolean),
      Labels: optional(stringMap),
      Subpath: optional(string),
      DriverConfig: optional(
        struct<{ Name?: string; Options?: Readonly<Record<string, string>> }>({
          Name: optional(string),
          Options: optional(stringMap),
        }),
      ),
    }),
  ),
  ImageOptions: optional(struct<{ Subpath?: string }>({ Subpath: optional(string) })),
  TmpfsOptions: optional(
    struct<NonNullable<Mount["TmpfsOptions"]>>({
      SizeBytes: optional(integer),
      Mode: optional(unsigned()),
      Options: optional(array(array(string))),
    }),
  ),
  ClusterOptions: optional(emptyObject),
});

const restartPolicy = struct<RestartPolicy>({ Name: string, MaximumRetryCount: integer });

const hostConfig = struct<HostConfig>({
  Binds: strings,
  ContainerIDFile: string,
  LogConfig: whole(struct<LogConfig>({ Type: string, Config: nullable(stringMap) })),
  NetworkMode: string,
  PortBindings: nullable(
    map(nullable(array(struct<PortBinding>({ HostIp: address({ optional: true }), HostPort: string }))), portKey),
  ),
  RestartPolicy: whole(restartPolicy),
  AutoRemove: boolean,
  VolumeDriver: string,
  VolumesFrom: strings,
  ConsoleSize: { ...pair(unsigned()), zero: [0, 0] },
  Annotations: optional(stringMap),
  CapAdd: strings,
  CapDrop: strings,
  CgroupnsMode: string,
  Dns: nullable(array(address({ optional: false }))),
  DnsOptions: strings,
  DnsSearch: strings,
  ExtraHosts: strings,
  GroupAdd: strings,
  IpcMode: string,
  Cgroup: string,
  Links: strings,
  OomScoreAdj: integer,
  PidMode: string,
  Privileged: boolean,
  PublishAllPorts: boolean,
  ReadonlyRootfs: boolean,
  SecurityOpt: strings,
  StorageOpt: optional(stringMap),
  Tmpfs: optional(stringMap),
  UTSMode: string,
  UsernsMode: string,
  ShmSize: integer,
  Sysctls: optional(stringMap),
  Runtime: optional(string),
  Isolation: string,
  ...resourceFields,
  Mounts: optional(array(mount)),
  MaskedPaths: strings,
  ReadonlyPaths: strings,
  Init: optional(boolean),
});

const networkingConfig = struct<ContainerCreateRequest["NetworkingConfig"]>({
  EndpointsConfig: { ...map(endpointSettings), zero: {} },
});

const createRequest = struct<ContainerCreateRequest>({
  ...configFields,
  HostConfig: whole(hostConfig),
  NetworkingConfig: whole(networkingConfig),
});

/** The names of ContainerConfig in lower case. A body without any of them has no configuration. */
const configNames = new Set(Object.keys(configFields).map((name) => name.toLowerCase()));

function namesConfig(document: unknown): boolean {
  return isObject(document) && Object.keys(document).some((key) => configNames.has(key.toLowerCase()));
}

/** @throws invalid-argument */
export function decodeContainerCreate(document: unknown): ContainerCreateRequest {
  const request = decodeBody(createRequest, document);
  if (!namesConfig(document))
    throw new EngineError("invalid-argument", "config cannot be empty in order to create a container");
  return request;
}

/** The configuration that a commit may contain; undefined when the body has none. @throws invalid-argument */
export function decodeCommitConfig(document: unknown): ContainerConfig | undefined {
  const config = decodeBody(containerConfig, document);
  return namesConfig(document) ? config : undefined;
}

const updateRequest = struct<ContainerUpdateRequest>({
  ...(Object.fromEntries(
    Object.entries<Decoder<unknown>>(resourceFields).map(([name, field]) => [name, optional(field)]),
  ) as Fields<Partial<Resources>>),
  RestartPolicy: optional(restartPolicy),
});

/** Only the fields that the client sent. @throws invalid-argument */
export function decodeContainerUpdate(document: unknown): ContainerUpdateRequest {
  return decodeBody(updateRequest, document);
}

const execCreate = struct<ExecCreateRequest>({
  User: string,
  Privileged: boolean,
  Tty: boolean,
  ConsoleSize: optional(pair(unsigned(0xffff_ffff))),
  AttachStdin: boolean,
  AttachStderr: boolean,
  AttachStdout: boolean,
  DetachKeys: string,
  Env: strings,
  WorkingDir: string,
  Cmd: strings,
});

/** @throws invalid-argument */
export function decodeExecCreate(document: unknown): ExecCreateRequest {
  return decodeBody(execCreate, document);
}

const execStart = struct<ExecStartRequest>({
  Detach: boolean,
  Tty: boolean,
  ConsoleSize: optional(pair(unsigned(0xffff_ffff))),
});

/** @throws invalid-argument */
export function decodeExecStart(document: unknown): ExecStartRequest {
  return decodeBody(execStart, document);
}
