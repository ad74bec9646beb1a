/**
 * The place of supervisors: a cgroup beside those of the containers, and an OOM score of their own. If they were in the daemon's cgroup, a stop
 * of its unit, or a kill for lack of memory there, would end them and so every container.
 */
import { isEngineError, messageOf, type Logger } from "@fathom/base";
import { O_CLOEXEC, O_DIRECTORY, O_PATH, type Sys } from "@fathom/sys";
import type { Cgroup, Cgroups, SupervisorPlace } from "@fathom/runtime";

/** As containerd's shims: almost never chosen. Each uses less than a megabyte. */
const oomScoreAdj = -998;
/** How long to wait for the supervisors of containers that ended with the daemon; then their cgroup is left to the next daemon. */
const endPatienceMs = 1000;
const lookMs = 20;

export interface SupervisorHome extends AsyncDisposable {
  readonly place: SupervisorPlace;
}

/** Disposing removes the cgroup, unless supervisors are still in it. */
export function openSupervisorHome(
  sys: Pick<Sys, "open" | "close">,
  cgroups: Cgroups,
  cgroupParent: string,
  logger: Logger,
): SupervisorHome {
  const path = `${cgroupParent}/supervisors`.replace(/^\/*/, "/");
  let cgroup: Cgroup;
  try {
    cgroup = cgroups.create(path);
  } catch (error) {
    // Those of the previous daemon are in it.
    if (!isEngineError(error, "conflict")) throw error;
    cgroup = cgroups.open(path);
  }
  const told = new Set<string>();
  const unified = cgroup.hierarchies.find(({ version }) => version === 2)?.directory;
  const directoryFd = unified === undefined ? undefined : sys.open(unified, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return {
    place: {
      cgroupProcs: cgroup.procsFiles,
      ...(directoryFd === undefined ? {} : { birthplace: { directoryFd, procsFile: `${unified}/cgroup.procs` } }),
      oomScoreAdj,
      onFailure: (error) => {
        if (told.has(error.message)) return;
        told.add(error.message);
        logger.warn(
          "a supervisor could not be moved: an end of the daemon for lack of memory or by its cgroup may end it too",
          {
            error: error.message,
            cgroup: path,
          },
        );
      },
    },
    [Symbol.asyncDispose]: async () => {
      if (directoryFd !== undefined) sys.close(directoryFd);
      try {
        for (let waitedMs = 0; cgroup.processes().length > 0; waitedMs += lookMs) {
          if (waitedMs >= endPatienceMs) return;
          await new Promise((resolve) => setTimeout(resolve, lookMs));
        }
        await cgroup.remove();
      } catch (error) {
        logger.warn("removing the cgroup of the supervisors failed", { cgroup: path, error: messageOf(error) });
      }
    },
  };
}
