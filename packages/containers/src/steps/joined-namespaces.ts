/**
 * Namespaces of other containers, held while a container that joins them starts. Their processes may end at any moment, and other processes,
 * perhaps of the host, may get their numbers. So the namespaces are opened first, and then the code checks that the numbers still belonged to
 * the containers.
 */
import { isStillRunning } from "@fathom/runtime";
import { isSysError, O_CLOEXEC, O_RDONLY, type Sys } from "@fathom/sys";
import type { Container } from "../container.ts";
import type { ContainersContext } from "../context.ts";
import type { JoinedNamespaces } from "../contract.ts";
import { ContainerProblem, type JoinedNamespace, type JoinObstacle } from "../problem.ts";
import type { ContainerRecord } from "../record.ts";

export interface Joins {
  readonly namespaces: JoinedNamespaces;
  /** The container whose network (and so whose files in /etc) this one uses. */
  readonly networkContainer: Container | undefined;
  /** The container whose /dev/shm this one uses. */
  readonly ipcContainer: Container | undefined;
  /** The container whose processes this one sees. */
  readonly pidContainer: Container | undefined;
}

/**
 * The namespaces of other containers that this one joins, as files of their first processes. Code that joins them must hold them first
 * (`holdNamespaces`), because the process may end and another may get its number.
 * @throws ContainerProblem when the other does not exist, does not run or does not share
 */
export function joinedNamespaces(engine: ContainersContext, record: ContainerRecord): Joins {
  const { network, pid, ipc } = record.spec;
  const networkContainer = network.kind === "container" ? networkDonor(engine, record, network.container) : undefined;
  const pidContainer = pid.kind === "container" ? joinable(engine, pid.container, "pid") : undefined;
  const ipcContainer = ipc.kind === "container" ? joinable(engine, ipc.container, "ipc") : undefined;
  if (ipcContainer !== undefined && !["shareable", "host"].includes(ipcContainer.record.spec.ipc.kind))
    throw notJoinable("ipc", { kind: "not-shared", id: ipcContainer.id });
  const path = (container: Container | undefined, name: string): string | undefined =>
    container === undefined ? undefined : `/proc/${container.record.state.pid}/ns/${name}`;
  return {
    networkContainer,
    ipcContainer,
    pidContainer,
    namespaces: {
      network: path(networkContainer, "net"),
      // The container also sees the other's host name, as in Docker.
      uts: path(networkContainer, "uts"),
      pid: path(pidContainer, "pid"),
      ipc: path(ipcContainer, "ipc"),
    },
  };
}

function networkDonor(engine: ContainersContext, record: ContainerRecord, nameOrId: string): Container {
  const other = found(engine, nameOrId, "network");
  if (other.id === record.id) throw notJoinable("network", { kind: "itself" });
  if (other.record.state.status === "restarting") throw notJoinable("network", { kind: "restarting", id: other.id });
  mustBeRunning(other, "network");
  return other;
}

function joinable(engine: ContainersContext, nameOrId: string, namespace: JoinedNamespace): Container {
  const other = found(engine, nameOrId, namespace);
  mustBeRunning(other, namespace);
  return other;
}

function found(engine: ContainersContext, nameOrId: string, namespace: JoinedNamespace): Container {
  try {
    return engine.containers.find(nameOrId);
  } catch (error) {
    throw error instanceof ContainerProblem ? notJoinable(namespace, { kind: "not-found", reason: error }) : error;
  }
}

function mustBeRunning({ id, process, record }: Container, namespace: JoinedNamespace): void {
  if (process === undefined)
    throw notJoinable(namespace, { kind: "not-running", id, name: record.name, status: record.state.status });
}

function notJoinable(namespace: JoinedNamespace, why: JoinObstacle): ContainerProblem {
  return new ContainerProblem({ kind: "not-joinable", namespace, why });
}

export interface HeldNamespaces extends Disposable {
  /** As paths of descriptors of this process, valid until they are released. */
  readonly namespaces: JoinedNamespaces;
}

/** @throws ContainerProblem "joined-has-ended" when a container has ended meanwhile */
export function holdNamespaces(sys: Pick<Sys, "open" | "close">, joins: Joins): HeldNamespaces {
  const { networkContainer, pidContainer, ipcContainer } = joins;
  const fds: number[] = [];
  const letGo = (): void => {
    for (const fd of fds.splice(0)) sys.close(fd);
  };
  const hold = (path: string | undefined, container: Container | undefined): string | undefined => {
    // Without an identity (a run that an earlier version began) there is nothing to compare.
    if (path === undefined || container?.process?.supervisor.identity === undefined) return path;
    try {
      const fd = sys.open(path, O_RDONLY | O_CLOEXEC);
      fds.push(fd);
      return `/proc/${process.pid}/fd/${fd}`;
    } catch (error) {
      throw isSysError(error, "ENOENT", "ESRCH") ? ended(container) : error;
    }
  };
  try {
    const namespaces: JoinedNamespaces = {
      network: hold(joins.namespaces.network, networkContainer),
      uts: hold(joins.namespaces.uts, networkContainer),
      pid: hold(joins.namespaces.pid, pidContainer),
      ipc: hold(joins.namespaces.ipc, ipcContainer),
    };
    for (const container of [networkContainer, pidContainer, ipcContainer]) {
      const identity = container?.process?.supervisor.identity;
      if (container !== undefined && identity !== undefined && !isStillRunning(identity)) throw ended(container);
    }
    return { namespaces, [Symbol.dispose]: letGo };
  } catch (error) {
    letGo();
    throw error;
  }
}

function ended({ id }: Container): ContainerProblem {
  return new ContainerProblem({ kind: "joined-has-ended", id });
}
