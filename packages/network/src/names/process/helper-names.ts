/**
 * Names by a process of its own (`name-helper.ts`), which this service starts when the first container needs it. `DIRECTORY/PROGRAM.sock` is
 * where the helper of a program listens: a daemon of the same program connects to the helper of the daemon before it, and one of another program
 * starts its own, gives it the whole state, and then lets the older one retire. A helper that has ended by itself is started again.
 */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { EngineError, isErrno, messageOf, type Clock, type Logger } from "@fathom/base";
import { isSysError, O_CLOEXEC, O_DIRECTORY, O_PATH, processEnd, SIGKILL, type Sys } from "@fathom/sys";
import type { NamedEndpoint, NamesState, NameService, ServedContainer } from "../contract.ts";
import { HelperConnection, HelperLost } from "./helper-connection.ts";
import type { Call } from "./messages.ts";

/** A started helper listens after some ten milliseconds. */
const startPatienceMs = 10_000;
const lookMs = 2;
/** A call opens some sockets; many of them when everything is restored. */
const callPatienceMs = 10_000;
const firstPauseMs = 50;
const longestPauseMs = 60_000;
/** If a helper ran for longer, the next pause is the first one again. */
const steadyMs = 60_000;

export interface HelperProgram {
  /** Descriptor of the executable, which the caller closes when its process ends. */
  readonly executable: () => number;
  /** Its arguments; the path of the socket follows. */
  readonly argv: readonly string[];
  readonly env: readonly string[];
  /** Differs for another build of the program; it becomes a file name. */
  readonly identity: string;
}

export interface HelperNamesOptions {
  readonly sys: Pick<
    Sys,
    "open" | "close" | "connectUnix" | "peerCredentials" | "spawn" | "waitpid" | "pidfdOpen" | "pidfdSendSignal"
  >;
  /** Made when it is needed. */
  readonly directory: string;
  readonly program: HelperProgram;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function createHelperNames(options: HelperNamesOptions): NameService {
  return new HelperNames(options);
}

class HelperNames implements NameService {
  readonly #options: HelperNamesOptions;
  readonly #socketName: string;
  readonly #served = new Set<string>();
  readonly #ended = new AbortController();
  #state: (() => NamesState) | undefined;
  #connection: HelperConnection | undefined;
  #opening: Promise<HelperConnection> | undefined;
  #recovering: Promise<void> | undefined;
  #pauseMs = firstPauseMs;

  constructor(options: HelperNamesOptions) {
    this.#options = options;
    this.#socketName = `${options.program.identity}.sock`;
  }

  async restore(state: () => NamesState): Promise<readonly string[]> {
    this.#state = state;
    this.#served.clear();
    try {
      return await this.#restore(state);
    } catch (error) {
      this.#recoverLater(0);
      throw error;
    }
  }

  async #restore(state: () => NamesState): Promise<readonly string[]> {
    using current = state();
    const { endpoints, containers } = current;
    // Others may be starting: they are not in the state yet.
    for (const { containerId } of containers) this.#served.add(containerId);
    let warnings: readonly string[] = [];
    if (this.#served.size > 0) {
      const helper = await this.#helper();
      warnings = await helper.call({ call: "restore", state: { endpoints, containers } });
      for (const { containerId } of containers)
        if (!this.#served.has(containerId)) await helper.call({ call: "release", containerId });
    } else await this.#endOwn();
    await this.#retireOthers();
    return warnings;
  }

  async setEndpoint(endpoint: NamedEndpoint): Promise<void> {
    await this.#call({ call: "set-endpoint", endpoint });
  }

  async removeEndpoint(endpointId: string): Promise<void> {
    if (this.#served.size > 0) await this.#callIfRunning({ call: "remove-endpoint", endpointId });
  }

  async serve(container: ServedContainer): Promise<readonly string[]> {
    // A failure leaves the container to be released, too.
    this.#served.add(container.containerId);
    return this.#call({ call: "serve", container });
  }

  async release(containerId: string): Promise<void> {
    if (!this.#served.has(containerId)) return;
    await this.#callIfRunning({ call: "release", containerId });
    this.#served.delete(containerId);
    if (this.#served.size > 0 || this.#connection?.isIdle !== true) return;
    // The helper waits a while for the next container; a daemon without one has no descriptor for it.
    this.#connection.close();
    this.#connection = undefined;
  }

  /** A helper that does not run has no sockets and no names, and the next one gets the state of its own time. */
  async #callIfRunning(call: Call): Promise<void> {
    await this.#recovered();
    if (this.#connection?.isOpen !== true) return;
    try {
      await this.#connection.call(call);
    } catch (error) {
      if (!(error instanceof HelperLost)) throw error;
    }
  }

  /** Waits, but not for ever, while a helper that has ended is started again. @returns false when it still is not */
  async #recovered(): Promise<boolean> {
    const recovering = this.#recovering;
    if (recovering === undefined) return true;
    const over = new AbortController();
    const patience = this.#options.clock.sleep(startPatienceMs, over.signal).then(
      () => false,
      () => false,
    );
    const isRecovered = await Promise.race([recovering.then(() => true), patience]);
    over.abort(new Error("the wait is over"));
    return isRecovered;
  }

  /** A helper that ends meanwhile gets the call again after its restart. */
  async #call(call: Call): Promise<readonly string[]> {
    for (let attempt = 1; ; attempt++)
      try {
        if (!(await this.#recovered()))
          throw new EngineError(
            "unavailable",
            "the process that answers names cannot be started: see the daemon's log",
          );
        return await (await this.#helper()).call(call);
      } catch (error) {
        if (!(error instanceof HelperLost)) throw error;
        if (attempt === 2)
          throw new EngineError("unavailable", "the process that answers names ends again and again", { cause: error });
      }
  }

  #helper(): Promise<HelperConnection> {
    if (this.#connection?.isOpen === true) return Promise.resolve(this.#connection);
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  async #open(): Promise<HelperConnection> {
    const { clock, directory } = this.#options;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    let connection = this.#connect(this.#socketName);
    if (connection === undefined) {
      rmSync(join(directory, this.#socketName), { force: true });
      const isRunning = this.#spawn();
      const deadlineMs = clock.monotonicMs() + startPatienceMs;
      while ((connection = this.#connect(this.#socketName)) === undefined) {
        if (!isRunning() || clock.monotonicMs() > deadlineMs)
          throw new EngineError("unavailable", "the process that answers names does not start");
        await clock.sleep(lookMs, this.#ended.signal);
      }
    }
    const own = connection;
    this.#connection = own;
    const sinceMs = clock.monotonicMs();
    own.onEnd = () => {
      if (this.#connection !== own) return;
      this.#connection = undefined;
      this.#recoverLater(clock.monotonicMs() - sinceMs);
    };
    return own;
  }

  #recoverLater(ranMs: number): void {
    if (this.#served.size > 0 && !this.#ended.signal.aborted)
      this.#recovering ??= this.#recover(ranMs).finally(() => (this.#recovering = undefined));
  }

  /** Never rejects. */
  async #recover(ranMs: number): Promise<void> {
    const { clock, logger } = this.#options;
    if (ranMs > steadyMs) this.#pauseMs = firstPauseMs;
    for (;;)
      try {
        await clock.sleep(this.#pauseMs, this.#ended.signal);
        this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
        if (this.#state === undefined) return;
        const warnings = await this.#restore(this.#state);
        logger.warn("the process that answers names had ended and is started again");
        for (const warning of warnings) logger.warn(warning);
        return;
      } catch (error) {
        if (this.#ended.signal.aborted) return;
        logger.warn("the process that answers names cannot be started again yet", { error: messageOf(error) });
      }
  }

  /** undefined when nobody listens there. */
  #connect(name: string): HelperConnection | undefined {
    const { sys, directory } = this.#options;
    using opened = new DisposableStack();
    try {
      const directoryFd = sys.open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
      opened.defer(() => sys.close(directoryFd));
      const fd = sys.connectUnix(directoryFd, name);
      // It listens, so this number is still its own.
      const { pid } = sys.peerCredentials(fd);
      return new HelperConnection(fd, callPatienceMs, () => this.#kill(pid));
    } catch (error) {
      if (isSysError(error, "ENOENT", "ECONNREFUSED")) return undefined;
      throw error;
    }
  }

  #kill(pid: number): void {
    const { sys, logger } = this.#options;
    logger.warn("the process that answers names does not answer and is ended", { pid });
    try {
      const pidfd = sys.pidfdOpen(pid);
      try {
        sys.pidfdSendSignal(pidfd, SIGKILL);
      } finally {
        sys.close(pidfd);
      }
    } catch (error) {
      if (!isSysError(error, "ESRCH")) throw error;
    }
  }

  /** @returns whether it still runs */
  #spawn(): () => boolean {
    const { sys, directory, program } = this.#options;
    const pid = sys.spawn({
      executableFd: program.executable(),
      argv: [...program.argv, join(directory, this.#socketName)],
      env: program.env,
      fds: [-1, -1, -1],
      newSession: true,
    });
    let isRunning = true;
    // A child that is not waited for would stay in the table of processes.
    void processEnd(sys, sys.pidfdOpen(pid), this.#ended.signal)
      .then(() => {
        isRunning = false;
        sys.waitpid(pid);
      })
      .catch(() => undefined);
    return () => isRunning;
  }

  /** The helper of this program, when no container needs it. One that cannot be reached ends by itself after a while. */
  async #endOwn(): Promise<void> {
    try {
      const connection = this.#connect(this.#socketName);
      await connection?.call({ call: "end" });
      connection?.close();
    } catch (error) {
      this.#options.logger.warn("the process that answers names cannot be ended", { error: messageOf(error) });
    }
  }

  /** Helpers of other programs. */
  async #retireOthers(): Promise<void> {
    const { directory } = this.#options;
    let names: readonly string[];
    try {
      names = readdirSync(directory).filter((name) => name !== this.#socketName);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return;
      throw error;
    }
    for (const name of names) {
      const other = this.#connect(name);
      await other?.call({ call: "retire" }).catch(() => undefined);
      other?.close();
      rmSync(join(directory, name), { force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort(new Error("the daemon ends"));
    if (this.#served.size === 0) await this.#endOwn();
    this.#connection?.close();
  }
}
