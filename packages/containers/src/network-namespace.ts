/** The network namespace of a running container, opened so that it certainly is the container's. */
import { isStillRunning, type Supervisor } from "@fathom/runtime";
import { isSysError, O_CLOEXEC, O_RDONLY, type Sys } from "@fathom/sys";

/**
 * Opens it. The process may end at any moment, and another process may get its number, so the number is checked after the descriptor is open.
 * @returns the descriptor, which the caller closes; undefined when the process has ended
 */
export function openNetworkNamespace(
  sys: Pick<Sys, "open" | "close">,
  { pid, identity }: Pick<Supervisor, "pid" | "identity">,
): number | undefined {
  let fd: number;
  try {
    fd = sys.open(`/proc/${pid}/ns/net`, O_RDONLY | O_CLOEXEC);
  } catch (error) {
    if (isSysError(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
  // A run that an earlier version began has no identity: there is nothing to compare.
  if (identity === undefined || isStillRunning(identity)) return fd;
  sys.close(fd);
  return undefined;
}
