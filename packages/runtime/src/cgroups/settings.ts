/** Members of OCI `linux.resources` that are one value in one file. Sources: config-linux.md "Control groups", kernel cgroup-v1/*.rst and cgroup-v2.rst. */
import { EngineError } from "@fathom/base";
import type { LinuxResources } from "@fathom/spec";
import type { CgroupSetting, SettingFile } from "./contract.ts";

type Value = number | bigint | null | undefined;

function given(value: Value): value is number | bigint {
  return value !== undefined && value !== null && Number(value) !== 0;
}

function file(controller: string, name: string, value: Value | string): SettingFile {
  return { controller, file: `${controller}.${name}`, value: String(value) };
}

export function settingsFromOci(oci: LinuxResources): CgroupSetting[] {
  return [
    ...cpuSettings(oci),
    ...memorySettings(oci),
    ...blockSettings(oci),
    ...otherSettings(oci),
    ...unifiedSettings(oci),
  ];
}

function* cpuSettings({ cpu }: LinuxResources): Generator<CgroupSetting> {
  if (given(cpu?.burst))
    yield { member: "cpu.burst", v1: file("cpu", "cfs_burst_us", cpu.burst), v2: file("cpu", "max.burst", cpu.burst) };
  if (given(cpu?.idle))
    yield { member: "cpu.idle", v1: file("cpu", "idle", cpu.idle), v2: file("cpu", "idle", cpu.idle) };
  // v2 has no such limits. The kernel checks the runtime against the period.
  if (given(cpu?.realtimePeriod))
    yield { member: "cpu.realtimePeriod", v1: file("cpu", "rt_period_us", cpu.realtimePeriod) };
  if (given(cpu?.realtimeRuntime))
    yield { member: "cpu.realtimeRuntime", v1: file("cpu", "rt_runtime_us", cpu.realtimeRuntime) };
}

function* memorySettings({ memory }: LinuxResources): Generator<CgroupSetting> {
  if (given(memory?.kernelTCP))
    yield { member: "memory.kernelTCP", v1: file("memory", "kmem.tcp.limit_in_bytes", memory.kernelTCP) };
}

const throttles = [
  ["throttleReadBpsDevice", "read_bps_device", "rbps"],
  ["throttleWriteBpsDevice", "write_bps_device", "wbps"],
  ["throttleReadIOPSDevice", "read_iops_device", "riops"],
  ["throttleWriteIOPSDevice", "write_iops_device", "wiops"],
] as const;

function* blockSettings({ blockIO }: LinuxResources): Generator<CgroupSetting> {
  for (const { major, minor, weight, leafWeight } of blockIO?.weightDevice ?? []) {
    if (given(leafWeight))
      throw new EngineError("not-implemented", "linux.resources.blockIO.weightDevice.leafWeight: not supported yet");
    if (given(weight))
      yield {
        member: "blockIO.weightDevice",
        v1: file("blkio", "bfq.weight_device", `${major}:${minor} ${weight}`),
        v2: file("io", "bfq.weight", `${major}:${minor} ${weight}`),
      };
  }
  for (const [member, first, second] of throttles)
    for (const { major, minor, rate } of blockIO?.[member] ?? [])
      yield {
        member: `blockIO.${member}`,
        v1: file("blkio", `throttle.${first}`, `${major}:${minor} ${rate}`),
        v2: file("io", "max", `${major}:${minor} ${second}=${Number(rate) === 0 ? "max" : rate}`),
      };
}

function* otherSettings({ hugepageLimits, network, rdma }: LinuxResources): Generator<CgroupSetting> {
  for (const { pageSize, limit } of hugepageLimits ?? []) {
    if (!/^\d+[KMG]B$/.test(pageSize))
      throw new EngineError("invalid-argument", `linux.resources.hugepageLimits: "${pageSize}" is no page size`);
    yield {
      member: "hugepageLimits",
      v1: file("hugetlb", `${pageSize}.limit_in_bytes`, limit),
      v2: file("hugetlb", `${pageSize}.max`, limit),
    };
  }
  if (given(network?.classID)) yield { member: "network.classID", v1: file("net_cls", "classid", network.classID) };
  for (const { name, priority } of network?.priorities ?? [])
    yield { member: "network.priorities", v1: file("net_prio", "ifpriomap", `${name} ${priority}`) };
  for (const [device, { hcaHandles, hcaObjects }] of Object.entries(rdma ?? {})) {
    const limits = [
      ...(hcaHandles === undefined ? [] : [`hca_handle=${hcaHandles}`]),
      ...(hcaObjects === undefined ? [] : [`hca_object=${hcaObjects}`]),
    ];
    const value = file("rdma", "max", [device, ...limits].join(" "));
    yield { member: "rdma", v1: value, v2: value };
  }
}

/** Files of v2 by their names. */
function* unifiedSettings({ unified }: LinuxResources): Generator<CgroupSetting> {
  for (const [name, value] of Object.entries(unified ?? {})) {
    const [controller = "", ...rest] = name.split(".");
    if (!/^[a-z0-9_.]+$/i.test(name) || controller === "" || rest.length === 0)
      throw new EngineError(
        "invalid-argument",
        `linux.resources.unified: "${name}" is not the name of a file of cgroup v2`,
      );
    yield { member: `unified ${name}`, v2: { controller, file: name, value } };
  }
}
