/**
 * Forwarders copy traffic to an IPv6 address of the host to a container that has only IPv4, because the kernel translates no addresses between
 * the families. Each endpoint with such ports has one small process (native/forward). It gets its sockets at its start and does not need the
 * daemon afterwards: it answers while no daemon runs, and connections from outside use only its own descriptors.
 *
 * `DIRECTORY/<endpoint id>` is its file. The file contains the pid, and the process holds a lock on it as long as it lives.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { EngineError, messageOf, type Clock, type Logger, isErrno } from "@fathom/base";
import { isSysError, O_CLOEXEC, O_CREAT, O_NOFOLLOW, O_RDWR, processEnd, type Sys, SIGKILL } from "@fathom/sys";

/** Connections of one endpoint at a time; more wait in the queues of its sockets. */
const maxConnections = 1024;
/** UDP clients of one endpoint at a time; a new one replaces the one that has been silent for longest. */
const maxUdpClients = 1024;
/** After this silence a UDP client is removed. */
const udpIdleSeconds = 90;
/** How long to wait for the end of a killed process: only then its ports are free. */
const endPatienceMs = 5000;
/** A started forwarder writes its number within moments. */
const beginMs = 50;

/** The target of a published port. */
export interface PortTarget {
  readonly address: string;
  readonly port: number;
}

export interface ForwardListener {
  readonly protocol: "tcp" | "udp";
  /** Bound, and for tcp listening. */
  readonly fd: number;
  readonly target: PortTarget;
}

/** By endpoint id. */
export interface Forwarders {
  /** Starts one. It has copies of the listeners' descriptors: the caller closes its own. */
  start(endpointId: string, listeners: readonly ForwardListener[]): void;
  runs(endpointId: string): boolean;
  /** Resolves when it does not run any more, or does not run at all. @throws the signal's reason; SysError when it cannot be watched */
  ended(endpointId: string, signal: AbortSignal): Promise<void>;
  /** Ends it and waits until its ports are free. One that has ended is no error. @throws timeout when it does not end */
  end(endpointId: string): Promise<void>;
  /** Forwarders that run, and those that left their file. */
  list(): readonly string[];
}

export interface ForwardersOptions {
  readonly sys: Pick<
    Sys,
    "open" | "close" | "tryFlock" | "spawn" | "kill" | "waitpid" | "pidfdOpen" | "pidfdSendSignal"
  >;
  /** Descriptor of the program: `forwarderExecutable` of @fathom/sys. */
  readonly executable: () => number;
  /** Made when it is needed; it is lost with the machine's power, as the processes are. */
  readonly directory: string;
  /** The cgroups of its processes, the same as for the containers' supervisors; absent: the daemon's cgroup. */
  readonly place?: {
    /** Files to write "0" to. */
    readonly cgroupProcs: readonly string[];
    readonly oomScoreAdj: number;
  };
  readonly clock: Clock;
  readonly logger: Logger;
}

export function createForwarders(options: ForwardersOptions): Forwarders {
  const { sys, directory, clock, place } = options;
  const pathOf = (endpointId: string): string => join(directory, endpointId);
  /** Forwarders that this process started and has not reaped. */
  const children = new Map<string, number>();

  /** The file with its lock; undefined when a forwarder holds the lock. `create` also makes the file. */
  const lock = (endpointId: string, create: boolean): (Disposable & { readonly fd: number }) | "held" | "absent" => {
    let fd: number;
    try {
      fd = sys.open(pathOf(endpointId), O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0o600);
    } catch (error) {
      if (!create && isSysError(error, "ENOENT")) return "absent";
      throw error;
    }
    let held = true;
    try {
      held = !sys.tryFlock(fd, true);
    } finally {
      if (held) sys.close(fd);
    }
    return held ? "held" : { fd, [Symbol.dispose]: () => sys.close(fd) };
  };

  const isHeld = (endpointId: string): boolean => {
    const state = lock(endpointId, false);
    if (typeof state === "string") return state === "held";
    state[Symbol.dispose]();
    return false;
  };

  const reaped = (endpointId: string): boolean => {
    const pid = children.get(endpointId);
    if (pid === undefined) return true;
    try {
      if (sys.waitpid(pid) === undefined) return false;
    } catch (error) {
      // Another program has taken it.
      if (!isSysError(error, "ECHILD")) throw error;
    }
    children.delete(endpointId);
    return true;
  };

  /**
   * A descriptor of the process, which the caller must close; undefined when it has ended. A forwarder of an earlier daemon is not our child.
   * So its number is only certain while its lock is held and a descriptor holds the process.
   */
  const hold = (endpointId: string): number | "unknown" | undefined => {
    const child = children.get(endpointId);
    const pid = child ?? Number(readFileSync(pathOf(endpointId), "utf8"));
    // It has only just started.
    if (!Number.isInteger(pid) || pid <= 0) return "unknown";
    let pidfd: number;
    try {
      pidfd = sys.pidfdOpen(pid);
    } catch (error) {
      if (isSysError(error, "ESRCH")) return undefined;
      throw error;
    }
    if (child !== undefined) return pidfd;
    let held = false;
    try {
      held = isHeld(endpointId);
    } finally {
      if (!held) sys.close(pidfd);
    }
    return held ? pidfd : undefined;
  };

  const killAdopted = (endpointId: string): void => {
    const pidfd = hold(endpointId);
    if (typeof pidfd !== "number") return;
    try {
      sys.pidfdSendSignal(pidfd, SIGKILL);
    } catch (error) {
      if (!isSysError(error, "ESRCH")) throw error;
    } finally {
      sys.close(pidfd);
    }
  };

  const runs = (endpointId: string): boolean => (children.has(endpointId) ? !reaped(endpointId) : isHeld(endpointId));

  const gone = (endpointId: string): boolean => {
    if (children.has(endpointId)) return reaped(endpointId);
    if (!isHeld(endpointId)) return true;
    killAdopted(endpointId);
    return false;
  };

  return {
    start(endpointId, listeners) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      const file = lock(endpointId, true);
      if (typeof file === "string") throw new EngineError("conflict", `endpoint ${endpointId} has a forwarder already`);
      using _file = file;
      using undo = new DisposableStack();
      undo.defer(() => rmSync(pathOf(endpointId), { force: true }));
      const targets = listeners.flatMap(({ protocol, target }) => [protocol, target.address, String(target.port)]);
      const pid = sys.spawn({
        executableFd: options.executable(),
        argv: ["fathom-forward", String(maxConnections), String(maxUdpClients), String(udpIdleSeconds), ...targets],
        env:
          place === undefined ? [] : [`OOM_SCORE_ADJ=${place.oomScoreAdj}`, `CGROUPS=${place.cgroupProcs.join("\n")}`],
        fds: [-1, -1, -1, file.fd, ...listeners.map(({ fd }) => fd)],
        newSession: true,
      });
      children.set(endpointId, pid);
      undo.move();
    },

    runs,

    async ended(endpointId, signal) {
      while (runs(endpointId)) {
        const pidfd = hold(endpointId);
        if (typeof pidfd === "number") await processEnd(sys, pidfd, signal);
        else await clock.sleep(beginMs, signal);
      }
    },

    async end(endpointId) {
      const child = children.get(endpointId);
      if (child !== undefined) sys.kill(child, SIGKILL);
      const deadlineMs = clock.monotonicMs() + endPatienceMs;
      for (let waitMs = 1; !gone(endpointId); waitMs = Math.min(waitMs * 2, 50)) {
        if (clock.monotonicMs() > deadlineMs)
          throw new EngineError(
            "timeout",
            `the forwarder of endpoint ${endpointId} does not end: see ${pathOf(endpointId)} for its pid`,
          );
        await clock.sleep(waitMs);
      }
      rmSync(pathOf(endpointId), { force: true });
    },

    list() {
      try {
        return readdirSync(directory);
      } catch (error) {
        if (isErrno(error, "ENOENT")) return [];
        options.logger.warn("the forwarders of earlier daemons cannot be listed", {
          directory,
          error: messageOf(error),
        });
        return [];
      }
    },
  };
}
