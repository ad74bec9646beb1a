/**
 * Namespaces of other containers, held while a container that joins them starts. Their processes may end at any moment and their numbers be given to others,
 * on the host perhaps: so the namespaces are opened first, and then it is looked whether the numbers still were those of the containers.
 */
import { EngineError } from "@fathom/base";
import { isStillRunning } from "@fathom/runtime";
import { isSysError, O_CLOEXEC, O_RDONLY, type Sys } from "@fathom/sys";
import type { Container } from "../container.ts";
import type { JoinedNamespaces } from "../contract.ts";
import type { Joins } from "./plan.ts";

export interface HeldNamespaces extends Disposable {
  /** As paths of descriptors of this process, valid until they are let go. */
  readonly namespaces: JoinedNamespaces;
}

/** @throws conflict when a container has ended meanwhile */
export function holdNamespaces(sys: Pick<Sys, "open" | "close">, joins: Joins): HeldNamespaces {
  const { networkContainer, pidContainer, ipcContainer } = joins;
  const fds: number[] = [];
  const letGo = (): void => {
    for (const fd of fds.splice(0)) sys.close(fd);
  };
  const hold = (path: string | undefined, container: Container | undefined): string | undefined => {
    // Without an identity (a run that an earlier version began) there is nothing to compare with.
    if (path === undefined || container?.process?.supervisor.identity === undefined) return path;
    const fd = sys.open(path, O_RDONLY | O_CLOEXEC);
    fds.push(fd);
    return `/proc/${process.pid}/fd/${fd}`;
  };
  const ended = ({ id }: Container): EngineError => new EngineError("conflict", `container ${id} is not running`);
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
    const gone = [networkContainer, pidContainer, ipcContainer].find((container) => container !== undefined);
    if (gone !== undefined && isSysError(error, "ENOENT", "ESRCH")) throw ended(gone);
    throw error;
  }
}
