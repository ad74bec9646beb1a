/** The host part of a container's request, and the limits that an update also takes. */
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
import type { Fields } from "../../decode/decoder.ts";
import {
  array,
  bool,
  emptyObject,
  int,
  int64,
  map,
  named,
  nullable,
  optional,
  pair,
  string,
  struct,
  uint,
  uint16,
  uint32,
  uint64,
  whole,
} from "../../decode/go.ts";

const strings = nullable(array(string));
const stringMap = map(string);

const throttleDevices = nullable(
  array(struct<ThrottleDevice>("blkiodev.ThrottleDevice", { Path: string, Rate: uint64 }), "pointers"),
);

export const resourceFields: Fields<Resources> = {
  CpuShares: int64,
  Memory: int64,
  NanoCpus: int64,
  CgroupParent: string,
  BlkioWeight: uint16,
  BlkioWeightDevice: nullable(
    array(struct<WeightDevice>("blkiodev.WeightDevice", { Path: string, Weight: uint16 }), "pointers"),
  ),
  BlkioDeviceReadBps: throttleDevices,
  BlkioDeviceWriteBps: throttleDevices,
  BlkioDeviceReadIOps: throttleDevices,
  BlkioDeviceWriteIOps: throttleDevices,
  CpuPeriod: int64,
  CpuQuota: int64,
  CpuRealtimePeriod: int64,
  CpuRealtimeRuntime: int64,
  CpusetCpus: string,
  CpusetMems: string,
  Devices: nullable(
    array(
      struct<DeviceMapping>("container.DeviceMapping", {
        PathOnHost: string,
        PathInContainer: string,
        CgroupPermissions: string,
      }),
    ),
  ),
  DeviceCgroupRules: strings,
  DeviceRequests: nullable(
    array(
      struct<DeviceRequest>("container.DeviceRequest", {
        Driver: string,
        Count: int,
        DeviceIDs: strings,
        Capabilities: nullable(array(array(string))),
        Options: nullable(stringMap),
      }),
    ),
  ),
  MemoryReservation: int64,
  MemorySwap: int64,
  MemorySwappiness: nullable(int64),
  OomKillDisable: nullable(bool),
  PidsLimit: nullable(int64),
  Ulimits: nullable(array(struct<Ulimit>("units.Ulimit", { Name: string, Hard: int64, Soft: int64 }), "pointers")),
  CpuCount: int64,
  CpuPercent: int64,
  IOMaximumIOps: uint64,
  IOMaximumBandwidth: uint64,
};

export const embeddedResources = { name: "Resources", fields: resourceFields };

const mount = struct<Mount>("mount.Mount", {
  Type: optional(named("mount.Type", string)),
  Source: optional(string),
  Target: optional(string),
  ReadOnly: optional(bool),
  Consistency: optional(named("mount.Consistency", string)),
  BindOptions: optional(
    struct<NonNullable<Mount["BindOptions"]>>("mount.BindOptions", {
      Propagation: optional(named("mount.Propagation", string)),
      NonRecursive: optional(bool),
      CreateMountpoint: optional(bool),
      ReadOnlyNonRecursive: optional(bool),
      ReadOnlyForceRecursive: optional(bool),
    }),
  ),
  VolumeOptions: optional(
    struct<NonNullable<Mount["VolumeOptions"]>>("mount.VolumeOptions", {
      NoCopy: optional(bool),
      Labels: optional(stringMap),
      Subpath: optional(string),
      DriverConfig: optional(
        struct<{ Name?: string; Options?: Readonly<Record<string, string>> }>("mount.Driver", {
          Name: optional(string),
          Options: optional(stringMap),
        }),
      ),
    }),
  ),
  ImageOptions: optional(struct<{ Subpath?: string }>("mount.ImageOptions", { Subpath: optional(string) })),
  TmpfsOptions: optional(
    struct<NonNullable<Mount["TmpfsOptions"]>>("mount.TmpfsOptions", {
      SizeBytes: optional(int64),
      Mode: optional(named("fs.FileMode", uint32)),
      Options: optional(array(array(string))),
    }),
  ),
  ClusterOptions: optional(named("mount.ClusterOptions", emptyObject)),
});

export const restartPolicy = struct<RestartPolicy>("container.RestartPolicy", {
  Name: named("container.RestartPolicyMode", string),
  MaximumRetryCount: int,
});

export const hostConfig = struct<HostConfig>(
  "container.HostConfig",
  {
    Binds: strings,
    ContainerIDFile: string,
    LogConfig: whole(struct<LogConfig>("container.LogConfig", { Type: string, Config: nullable(stringMap) })),
    NetworkMode: named("container.NetworkMode", string),
    PortBindings: nullable(
      named(
        "network.PortMap",
        map(
          nullable(
            array(
              struct<PortBinding>("network.PortBinding", { HostIp: address({ optional: true }), HostPort: string }),
            ),
          ),
          portKey,
        ),
      ),
    ),
    RestartPolicy: whole(restartPolicy),
    AutoRemove: bool,
    VolumeDriver: string,
    VolumesFrom: strings,
    ConsoleSize: { ...pair(uint), zero: [0, 0] },
    Annotations: optional(stringMap),
    CapAdd: strings,
    CapDrop: strings,
    CgroupnsMode: named("container.CgroupnsMode", string),
    Dns: nullable(array(address({ optional: false }))),
    DnsOptions: strings,
    DnsSearch: strings,
    ExtraHosts: strings,
    GroupAdd: strings,
    IpcMode: named("container.IpcMode", string),
    Cgroup: named("container.CgroupSpec", string),
    Links: strings,
    OomScoreAdj: int,
    PidMode: named("container.PidMode", string),
    Privileged: bool,
    PublishAllPorts: bool,
    ReadonlyRootfs: bool,
    SecurityOpt: strings,
    StorageOpt: optional(stringMap),
    Tmpfs: optional(stringMap),
    UTSMode: named("container.UTSMode", string),
    UsernsMode: named("container.UsernsMode", string),
    ShmSize: int64,
    Sysctls: optional(stringMap),
    Runtime: optional(string),
    Isolation: named("container.Isolation", string),
    ...resourceFields,
    Mounts: optional(array(mount)),
    MaskedPaths: strings,
    ReadonlyPaths: strings,
    Init: optional(bool),
  },
  embeddedResources,
);
