/**
 * From the engine's terms to the runtime's: which namespaces a container joins, the OCI configuration that `oci/` makes of its record,
 * the launch plan and limits that follow.
 */
import { existsSync } from "node:fs";
import { EngineError, messageOf } from "@fathom/base";
import {
  compile,
  compileExec,
  LaunchFailure,
  mountPointOf,
  resourcesFromOci,
  type Cgroup,
  type LaunchPlan,
  type LaunchStage,
  type Resources,
} from "@fathom/runtime";
import type { Snapshot } from "@fathom/store";
import { effectiveHostname } from "./network-files.ts";
import type { Container, RunningProcess } from "../container.ts";
import type { ContainerRecord } from "../record.ts";
import type { ContainersContext } from "../context.ts";
import type { JoinedNamespaces } from "../contract.ts";
import type { ExecSpec } from "../exec/exec-spec.ts";
import { containerPaths } from "../paths.ts";
import { sharedMemoryPath } from "./shared-memory.ts";

const hasKcore = existsSync("/proc/kcore");

export interface Joins {
  readonly namespaces: JoinedNamespaces;
  /** The container whose network, and with it whose files in /etc, this one uses. */
  readonly networkContainer: Container | undefined;
  /** The container whose /dev/shm this one uses. */
  readonly ipcContainer: Container | undefined;
  /** The container whose processes this one sees. */
  readonly pidContainer: Container | undefined;
}

/**
 * The namespaces of other containers that this one joins, as files of their first processes. Who joins them holds them first
 * (held-namespaces.ts): the process may end, and its number be another's.
 * @throws not-found, conflict when the other does not run or does not share
 */
export function joinedNamespaces(engine: ContainersContext, record: ContainerRecord): Joins {
  const { network, pid, ipc } = record.spec;
  const networkContainer = network.kind === "container" ? networkDonor(engine, record, network.container) : undefined;
  const pidContainer = pid.kind === "container" ? joinable(engine, pid.container, "") : undefined;
  const ipcContainer =
    ipc.kind === "container" ? joinable(engine, ipc.container, "failed to join IPC namespace: ") : undefined;
  if (ipcContainer !== undefined && !["shareable", "host"].includes(ipcContainer.record.spec.ipc.kind))
    throw new EngineError(
      "conflict",
      `failed to join IPC namespace: container ${ipcContainer.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
    );
  const path = (container: Container | undefined, name: string): string | undefined =>
    container === undefined ? undefined : `/proc/${container.record.state.pid}/ns/${name}`;
  return {
    networkContainer,
    ipcContainer,
    pidContainer,
    namespaces: {
      network: path(networkContainer, "net"),
      // The other's host name is seen too, as in Docker.
      uts: path(networkContainer, "uts"),
      pid: path(pidContainer, "pid"),
      ipc: path(ipcContainer, "ipc"),
    },
  };
}

function networkDonor(engine: ContainersContext, record: ContainerRecord, nameOrId: string): Container {
  let other: Container;
  try {
    other = engine.containers.find(nameOrId);
  } catch (error) {
    // Not "not-found", as in Docker: the container that is started is there.
    throw new EngineError("conflict", `joining network namespace of container: ${messageOf(error)}`, { cause: error });
  }
  if (other.id === record.id) throw new EngineError("conflict", "cannot join own network namespace");
  if (other.record.state.status === "restarting")
    throw new EngineError(
      "conflict",
      `cannot join network namespace of container: Container ${other.id} is restarting, wait until the container is running`,
    );
  if (other.process === undefined)
    throw new EngineError(
      "conflict",
      `cannot join network namespace of a non running container: container ${other.record.name} is ${other.record.state.status}`,
    );
  return other;
}

function joinable(engine: ContainersContext, nameOrId: string, prefix: string): Container {
  let other: Container;
  try {
    other = engine.containers.find(nameOrId);
  } catch (error) {
    throw error instanceof EngineError
      ? new EngineError(error.code, `${prefix}${error.message}`, { cause: error })
      : error;
  }
  if (other.process === undefined) throw new EngineError("conflict", `${prefix}container ${other.id} is not running`);
  return other;
}

export interface Translation {
  readonly resources: Resources;
  compile(cgroup: Cgroup): LaunchPlan;
}

/** `rootFd`: the mounted root, in which the user is looked up. */
export async function translate(
  engine: ContainersContext,
  record: ContainerRecord,
  rootFd: number,
  layer: Snapshot,
  joins: Joins,
): Promise<Translation> {
  const { lower, upper, work } = layer.mount;
  const files = containerPaths(engine.config, joins.networkContainer?.id ?? record.id);
  const spec = await engine.oci.containerSpec({
    record,
    rootFd,
    namespaces: joins.namespaces,
    files: { hosts: files.hosts, hostname: files.hostname, resolvConf: files.resolvConf },
    hostname: effectiveHostname(record),
    sharedMemory: sharedMemoryPath(engine, joins.ipcContainer?.record ?? record),
  });
  let plan: LaunchPlan | undefined;
  return {
    resources: resourcesFromOci(spec.linux?.resources),
    compile: (cgroup) =>
      (plan ??= compile(spec, {
        rootfs: {
          kind: "overlay",
          lower,
          ...(upper === undefined ? {} : { upper }),
          ...(work === undefined ? {} : { work }),
        },
        at: layer.mergedPath,
        ...(spec.linux?.rootfsPropagation === "shared" ? { atMountPoint: mountPointOf(layer.mergedPath) } : {}),
        cgroup,
        init: record.spec.init ?? engine.config.init,
        keyring: `_ses.${record.id}`,
        kcore: hasKcore,
        console: { rows: record.spec.consoleSize[0], columns: record.spec.consoleSize[1] },
      })),
  };
}

async function inStage<T>(stage: LaunchStage, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw LaunchFailure.of(stage, error);
  }
}

export async function compileExecProcess(
  engine: ContainersContext,
  container: Container,
  running: RunningProcess,
  exec: ExecSpec,
  size: readonly [number, number] | undefined,
): Promise<LaunchPlan> {
  const { process, seccomp } = await inStage("user", () =>
    engine.oci.execProcess({ record: container.record, exec, pid: running.supervisor.pid }),
  );
  const plan = compileExec(process, {
    ...(seccomp === undefined ? {} : { seccomp }),
    ...(size === undefined ? {} : { console: { rows: size[0], columns: size[1] } }),
  });
  // The supervisor is in no cgroup of the container's; it does not know which they are.
  return { ...plan, stem: { newNamespaces: [], cgroupProcs: running.cgroup.procsFiles } };
}
