/** The connection to the supervisor of a run: through the socket in the run's directory. */
import { isSysError, O_CLOEXEC, O_DIRECTORY, O_PATH, type Sys } from "@fathom/sys";
import { SupervisorConnection, type ConnectionSys } from "./connection.ts";

export type SocketSys = ConnectionSys & Pick<Sys, "open" | "connectUnix" | "peerCredentials">;

/** @throws SysError when nobody listens, no descriptor is left, or its queue is full */
export function connectSupervisor(
  sys: SocketSys,
  directory: string,
): { readonly connection: SupervisorConnection; readonly peerPid: number } {
  const directoryFd = sys.open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  try {
    const fd = sys.connectUnix(directoryFd, "supervisor.sock");
    try {
      // The process that began to listen there; known also when it answers nothing.
      const peerPid = sys.peerCredentials(fd).pid;
      return { connection: new SupervisorConnection(sys, fd), peerPid };
    } catch (error) {
      sys.close(fd);
      throw error;
    }
  } finally {
    sys.close(directoryFd);
  }
}

/** True for "no such file" and "nobody listens": then the directory's supervisor has ended. */
export function isNobodyThere(error: unknown): boolean {
  return isSysError(error, "ENOENT", "ECONNREFUSED", "ENOTDIR");
}
