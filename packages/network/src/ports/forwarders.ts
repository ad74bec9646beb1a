/**
 * Forwarders carry what comes to an IPv6 address of the host to a container that has IPv4 only: the kernel translates no addresses between the
 * families. One small process (native/forward) for each endpoint with such ports. It gets its sockets when it starts and needs the daemon no more: it
 * answers while no daemon runs, and a stranger's connections use up its own descriptors.
 *
 * `DIRECTORY/<endpoint id>` is its file: the pid in it, and a lock on it that the process holds for as long as it lives.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { EngineError, messageOf, type Clock, type Logger, isErrno } from "@fathom/base";
import { isSysError, O_CLOEXEC, O_CREAT, O_NOFOLLOW, O_RDWR, processEnd, type Sys, SIGKILL } from "@fathom/sys";

/** Connections of one endpoint at a time; more wait in the queues of its sockets. */
const maxConnections = 1024;
/** UDP clients of one endpoint at a time; the one that has been silent for longest makes way. */
const maxUdpClients = 1024;
/** A UDP client that is silent for this long is forgotten. */
const udpIdleSeconds = 90;
/** How long the end of a killed process is awaited: its ports are free only then. */
const endPatienceMs = 5000;
/** One that has begun writes its number within moments. */
const beginMs = 50;

/** Where a published port leads. */
export interface PortTarget {
  readonly address: string;
  readonly port: number;
}

export interface ForwardListener {
  readonly protocol: "tcp" | "udp";
  /** Bound, for tcp listening. */
  readonly fd: number;
  readonly target: PortTarget;
}

/** By endpoint id. */
export interface Forwarders {
  /** Starts one. It has copies of the listeners' descriptors: the caller closes its own. */
  start(endpointId: string, listeners: readonly ForwardListener[]): void;
  runs(endpointId: string): boolean;
  /** Resolves when it does not run any more, or does not run at all. @throws the signal's reason; SysError where it cannot be watched */
  ended(endpointId: string, signal: AbortSignal): Promise<void>;
  /** Ends it and waits until its ports are free. One that has ended is fine. @throws timeout when it does not end */
  end(endpointId: string): Promise<void>;
  /** Those that run, and those that left their file. */
  list(): readonly string[];
}

export interface ForwardersOptions {
  readonly sys: Pick<
    Sys,
    "open" | "close" | "tryFlock" | "spawn" | "kill" | "waitpid" | "pidfdOpen" | "pidfdSendSignal"
  >;
  /** Descriptor of the program: `forwarderExecutable` of @fathom/sys. */
  readonly executable: () => number;
  /** Made when it is needed; goes with the machine's power, as the processes do. */
  readonly directory: string;
  /** Where its processes live, as the containers' supervisors do; absent: with their daemon. */
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
  /** Those that this process started and has not reaped. */
  const children = new Map<string, number>();

  /** The file with its lock; undefined where a forwarder has that. `create` also makes it. */
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
      // Somebody else took it.
      if (!isSysError(error, "ECHILD")) throw error;
    }
    children.delete(endpointId);
    return true;
  };

  /**
   * A descriptor of the process, ours to close; undefined where it has ended. One of an earlier daemon's is not our child, so its number is safe only
   * while its lock is held and a descriptor holds the process.
   */
  const hold = (endpointId: string): number | "unknown" | undefined => {
    const child = children.get(endpointId);
    const pid = child ?? Number(readFileSync(pathOf(endpointId), "utf8"));
    // It has only just begun.
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
