/** Changes of an existing container: rename, update, resize, prune. */
import { dockerOf, specOf } from "./docker-extension.ts";
import { EngineError, isEngineError, messageOf, parseRfc3339Nano, isErrno } from "@fathom/base";
import type { ContainerUpdateRequest, ContainerUpdateResponse, Filters, HostConfig, PruneReport } from "@fathom/spec";
import { checkRestartPolicy } from "./create/create.ts";
import { newestFirst } from "./shown/list.ts";
import { removeContainer, locked, mustRun, publish, renameInNetworks } from "@fathom/containers";
import type { EngineContext } from "../context.ts";
import { checkFilterKeys, filterValues, prunesLabels } from "../filters/filters.ts";
import { checkName } from "./create/names.ts";
import { parseUntil } from "../filters/prune-until.ts";
import { inContext, inWords } from "../words/refusal-words.ts";
import { resourcesFromOci, type Resources } from "@fathom/runtime";

export async function renameContainer(engine: EngineContext, nameOrId: string, newName: string): Promise<void> {
  const container = engine.containers.find(nameOrId);
  if (newName.trim() === "") throw new EngineError("invalid-argument", "Neither old nor new names may be empty");
  await locked(engine, container, async () => {
    const oldName = container.record.name;
    if (newName.replace(/^\//, "") === oldName)
      throw new EngineError("invalid-argument", "Renaming a container with the same name as its current name");
    let name: string;
    try {
      // Here Docker's words have the name with its slash.
      name = checkName(newName.startsWith("/") ? newName : `/${newName}`);
      engine.containers.reserve(name, container.id);
    } catch (error) {
      throw error instanceof EngineError ? inContext("Error when allocating new name", inWords(error)) : error;
    }
    try {
      engine.containers.update(container, { name });
      await renameInNetworks(engine, container);
    } finally {
      engine.containers.unreserve(name);
    }
    publish(engine, container, "rename", { oldName: `/${oldName}` });
  });
}

/** On a running container, limits take effect at once. If the kernel rejects one, nothing changes. */
export async function updateContainer(
  engine: EngineContext,
  nameOrId: string,
  request: ContainerUpdateRequest,
): Promise<ContainerUpdateResponse> {
  const container = engine.containers.find(nameOrId);
  if (request.RestartPolicy !== undefined)
    checkRestartPolicy(request.RestartPolicy.Name, request.RestartPolicy.MaximumRetryCount);
  refuseUnsupported(request);
  return locked(engine, container, async () => {
    const before = dockerOf(container.record).hostConfig;
    const conflict = updateConflict(before, request);
    if (conflict !== undefined)
      throw new EngineError("conflict", `Cannot update container ${container.id}: ${conflict}`);
    const after = mergeUpdate(before, request);
    const warnings = engine.oci.validate(dockerOf(container.record).config, after, undefined);
    const { process } = container;
    try {
      await process?.cgroup.update(resourcesOf(engine, after));
      const extension = { ...dockerOf(container.record), hostConfig: after };
      engine.containers.update(container, { extension, spec: specOf(extension) });
    } catch (error) {
      try {
        process?.cgroup.apply(resourcesOf(engine, before));
      } catch (second) {
        engine.logger.warn("putting limits back failed", { error: second, id: container.id });
      }
      const code =
        isEngineError(error, "resource-exhausted") || isEngineError(error, "invalid-argument")
          ? error.code
          : // The kernel does not take the value.
            isErrno(error, "EINVAL")
            ? "invalid-argument"
            : "internal";
      throw new EngineError(code, `Cannot update container ${container.id}: ${messageOf(error)}`, { cause: error });
    }
    publish(engine, container, "update");
    return { Warnings: warnings.length === 0 ? null : warnings };
  });
}

/** Why an update contradicts what the container has, in Docker's words. CPU time has two exclusive forms: NanoCpus, or quota and period. */
function updateConflict(before: HostConfig, request: ContainerUpdateRequest): string | undefined {
  const { NanoCpus = 0, CpuPeriod = 0, CpuQuota = 0, Memory = 0, MemorySwap = 0, RestartPolicy } = request;
  if (NanoCpus > 0 && before.CpuPeriod > 0)
    return "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set";
  if (NanoCpus > 0 && before.CpuQuota > 0)
    return "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set";
  if (CpuPeriod > 0 && before.NanoCpus > 0)
    return "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set";
  if (CpuQuota > 0 && before.NanoCpus > 0)
    return "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set";
  if (Memory !== 0 && MemorySwap === 0 && before.MemorySwap > 0 && Memory > before.MemorySwap)
    return "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time";
  if (RestartPolicy !== undefined && before.AutoRemove && !["", "no"].includes(RestartPolicy.Name))
    return "Restart policy cannot be updated because AutoRemove is enabled for the container";
  return undefined;
}

/** Fields that the client did not send, or that are zero, do not change; but a limit of processes of 0 or less means "no limit". */
function mergeUpdate(before: HostConfig, request: ContainerUpdateRequest): HostConfig {
  const { RestartPolicy: policy, PidsLimit: pids } = request;
  const sent: Partial<HostConfig> = Object.fromEntries(
    updatable.flatMap((name) => (request[name] ? [[name, request[name]]] : [])),
  );
  return {
    ...before,
    ...sent,
    ...(pids === undefined || pids === null ? {} : { PidsLimit: Math.max(0, pids) }),
    ...(policy === undefined || policy.Name === "" ? {} : { RestartPolicy: policy }),
  };
}

/** As in Docker, an update ignores all other fields. */
const updatable = [
  "BlkioWeight",
  "CpuShares",
  "NanoCpus",
  "CpuPeriod",
  "CpuQuota",
  "CpusetCpus",
  "CpusetMems",
  "Memory",
  "MemorySwap",
  "MemoryReservation",
] as const;

/** Fields that Docker changes and this engine does not support. @throws not-implemented */
function refuseUnsupported(request: ContainerUpdateRequest): void {
  const lists = (
    [
      "BlkioWeightDevice",
      "BlkioDeviceReadBps",
      "BlkioDeviceWriteBps",
      "BlkioDeviceReadIOps",
      "BlkioDeviceWriteIOps",
    ] as const
  ).filter((name) => (request[name]?.length ?? 0) > 0);
  const realtime = (["CpuRealtimePeriod", "CpuRealtimeRuntime"] as const).filter((name) => (request[name] ?? 0) !== 0);
  const [first] = [...lists, ...realtime];
  if (first !== undefined) throw new EngineError("not-implemented", `updating ${first} is not supported yet`);
}

export async function resizeContainer(
  engine: EngineContext,
  nameOrId: string,
  rows: number,
  columns: number,
): Promise<void> {
  const container = engine.containers.find(nameOrId);
  const process = mustRun(container);
  // Without a terminal there is nothing to resize; as in Docker, that is a success.
  if (container.record.spec.terminal) await process.supervisor.resize(rows, columns);
  publish(engine, container, "resize", { height: String(rows), width: String(columns) });
}

export async function pruneContainers(engine: EngineContext, filters: Filters): Promise<PruneReport> {
  checkFilterKeys(filters, ["label", "label!", "until"]);
  const until = parseUntil(filterValues(filters, "until"), engine.clock.nowNs());
  const deleted: string[] = [];
  let reclaimed = 0;
  for (const container of newestFirst(engine.containers.list())) {
    const labels = dockerOf(container.record).config.Labels ?? {};
    if (!isPrunable(container.record.state.status)) continue;
    if (until !== undefined && (parseRfc3339Nano(container.record.createdAt) ?? 0n) > until) continue;
    if (!prunesLabels(labels, filters)) continue;
    try {
      const size = await engine.store.snapshots.usage(container.id);
      await locked(engine, container, async () => {
        // Somebody has started it since the check.
        if (container.process !== undefined || !isPrunable(container.record.state.status)) return;
        await removeContainer(engine, container, { volumes: false });
        deleted.push(container.id);
        reclaimed += size;
      });
    } catch (error) {
      engine.logger.warn("pruning a container failed", { error, id: container.id });
    }
  }
  engine.events.publish("container", "prune", "", { reclaimed: String(reclaimed) });
  return { ContainersDeleted: deleted.length === 0 ? null : deleted, SpaceReclaimed: reclaimed };
}

function isPrunable(status: string): boolean {
  return status === "created" || status === "exited" || status === "dead";
}

/** Only the limits, for a running container. They do not include device rules, which cannot be changed. */
function resourcesOf(engine: EngineContext, hostConfig: HostConfig): Resources {
  const { devices: _unchanged, ...limits } = resourcesFromOci(engine.oci.resources(hostConfig));
  return limits;
}
