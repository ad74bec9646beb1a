/**
 * Messages between a service manager (systemd) and the daemon: sockets that are open already (sd_listen_fds(3)), and that the daemon is ready
 * or ends (sd_notify(3)).
 */
import { EngineError, messageOf, type Logger } from "@fathom/base";
import type { Sys } from "@fathom/sys";

type Environment = Record<string, string | undefined>;

/** The first descriptor that the service manager passes. */
const firstFd = 3;
const socketsLimit = 32;

/**
 * Descriptors of the listening sockets that the service manager opened. The variables about them are removed from the environment, because they
 * are for this process only.
 * @throws invalid-argument when there are none
 */
export function takeListenFds(environment: Environment, pid: number): number[] {
  const { LISTEN_PID, LISTEN_FDS } = environment;
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete environment[name];
  const count = Number(LISTEN_FDS ?? 0);
  if (LISTEN_PID !== String(pid) || !Number.isInteger(count) || count < 1 || count > socketsLimit)
    throw new EngineError(
      "invalid-argument",
      "no sockets found via socket activation: make sure the service was started by systemd, through its socket unit, or listen on a path (-H unix:///path/to/socket)",
    );
  return Array.from({ length: count }, (_, index) => firstFd + index);
}

/** Returns a function that reports a state to the service manager ("READY=1"); when none listens, it does nothing. */
export function serviceNotifier(
  environment: Environment,
  sys: Pick<Sys, "sendDatagram">,
  logger: Logger,
): (state: string) => void {
  const path = environment["NOTIFY_SOCKET"];
  delete environment["NOTIFY_SOCKET"];
  if (path === undefined || path === "") return () => undefined;
  return (state) => {
    try {
      sys.sendDatagram(path, Buffer.from(state));
    } catch (error) {
      logger.warn("the service manager could not be notified", { state, socket: path, error: messageOf(error) });
    }
  };
}
