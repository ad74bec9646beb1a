/** The shippers of all containers: one for each container with a receiver, from its start until everything of its last run was sent. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { settlesWithin, startTimer, type Logger } from "@fathom/base";
import type { Container } from "../../container.ts";
import type { ContainersConfig, LogChoice } from "../../contract.ts";
import { containerPaths } from "../../paths.ts";
import { ContainerProblem } from "../../problem.ts";
import type { ContainerRecord } from "../../record.ts";
import { ReceiverUnreachable, type LogDestination, type ReceiverConnection } from "./destination.ts";
import type { DatagramSys } from "./receivers/datagrams.ts";
import type { Shipper } from "./shipper.ts";
import type { ContainerTable } from "../../rows/table.ts";
import type { LogWatch } from "../log-watch.ts";

/** How long a removal waits for a receiver. */
const removalPatienceMs = 5_000;
const closePatienceMs = 2_000;
/** A shipper looks at its container at least this often. */
/** A shipper that ends sooner is not followed at once by another. */
const shortLifeMs = 1_000;
const pollMs = 5_000;

interface Parts {
  readonly config: ContainersConfig;
  readonly containers: ContainerTable;
  readonly logs: LogChoice;
  readonly logWatch: LogWatch;
  readonly logger: Logger;
  readonly sys: DatagramSys;
}

interface Shipped {
  readonly shipper: Shipper;
  readonly wake: () => void;
  readonly mayWrite: () => boolean;
}

export class LogShipping {
  readonly #parts: Parts;
  readonly #shipped = new Map<string, Shipped>();
  /** Connections that starts have opened. */
  readonly #prepared = new Map<string, ReceiverConnection>();
  readonly #beginning = new Map<string, Promise<void>>();
  #closed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Before a start: connects the receiver, if the container has one. @throws ContainerProblem when it cannot be reached */
  prepare(record: ContainerRecord): Promise<void> | undefined {
    const destination = this.#parts.logs.destination?.(record);
    return destination?.connectFirst === true ? this.#connect(record, destination) : undefined;
  }

  async #connect({ id }: ContainerRecord, { receiver }: LogDestination): Promise<void> {
    const { openReceiver } = await import("./receivers/open.ts");
    try {
      const connection = await openReceiver(this.#parts.sys, receiver);
      // The shipper of the previous run still works, and has its own.
      if (this.#shipped.has(id)) await connection.close();
      else this.#prepared.set(id, connection);
    } catch (cause) {
      if (!(cause instanceof ReceiverUnreachable)) throw cause;
      const { network, address, reason } = cause;
      throw new ContainerProblem(
        { kind: "log-receiver-unreachable", receiver: receiver.kind, network, address, reason },
        { cause },
      );
    }
  }

  /** The start failed. */
  async forget(id: string): Promise<void> {
    const connection = this.#prepared.get(id);
    this.#prepared.delete(id);
    await connection?.close();
  }

  /** The container runs: its records are sent. */
  begin(container: Container): void {
    if (this.#parts.logs.destination?.(container.record) === undefined) return;
    void container.process?.ended.promise.finally(() => this.#shipped.get(container.id)?.wake());
    this.#ensure(container);
  }

  /** After a daemon's start: containers may have written while there was none, and may have ended since then. */
  resume(containers: readonly Container[]): void {
    for (const container of containers)
      if (
        this.#parts.logs.destination?.(container.record) !== undefined &&
        existsSync(containerPaths(this.#parts.config, container.id).cachedLog)
      )
        this.#ensure(container);
  }

  #ensure(container: Container): void {
    const { id } = container;
    if (this.#shipped.has(id) || this.#beginning.has(id) || this.#closed) return;
    const beginning = this.#start(container)
      .catch((error: unknown) => this.#parts.logger.error("sending a container's log failed", { id, error }))
      .finally(() => this.#beginning.delete(id));
    this.#beginning.set(id, beginning);
  }

  async #start(container: Container): Promise<void> {
    const { id } = container;
    const { config, logs, logger, logWatch, sys } = this.#parts;
    const destination = logs.destination?.(container.record);
    if (destination === undefined) return;
    const [{ Shipper }, { openReceiver }] = await Promise.all([import("./shipper.ts"), import("./receivers/open.ts")]);
    if (this.#closed) return;
    const paths = containerPaths(config, id);
    const watch = logWatch.watch(dirname(paths.cachedLog), pollMs);
    const connection = this.#prepared.get(id);
    this.#prepared.delete(id);
    const shipper = new Shipper(
      {
        id,
        spool: paths.cachedLog,
        position: paths.logPosition,
        destination,
        open: () => openReceiver(sys, destination.receiver),
        alive: () => this.#mayWrite(container),
        changed: (signal) => watch.changed(signal),
        logger,
      },
      connection,
    );
    this.#shipped.set(id, { shipper, wake: () => watch.wake(), mayWrite: () => this.#mayWrite(container) });
    const beganMs = performance.now();
    void shipper.ended.then(() => {
      watch[Symbol.dispose]();
      this.#shipped.delete(id);
      // It was started again after the shipper's last look; or the shipper failed, and then the next one waits.
      const again = (): void => {
        if (this.#mayWrite(container)) this.#ensure(container);
      };
      if (performance.now() - beganMs >= shortLifeMs) again();
      else startTimer(again, shortLifeMs);
    });
  }

  #mayWrite(container: Container): boolean {
    return container.process !== undefined && this.#parts.containers.byId(container.id) === container;
  }

  /** Before the container's files are removed: waits for its receiver, but not for long. */
  async finish(id: string): Promise<void> {
    await this.#beginning.get(id);
    const shipped = this.#shipped.get(id);
    if (shipped === undefined) return;
    shipped.wake();
    if (await settlesWithin(shipped.shipper.ended, removalPatienceMs)) return;
    this.#parts.logger.warn("a container is removed before its receiver has its whole log", { id });
    await shipped.shipper.stop();
  }

  /** Containers that have ended with the daemon get a moment. What was not sent then is sent by the next daemon. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#beginning.values());
    const ending = [...this.#shipped.values()].filter(({ mayWrite }) => !mayWrite());
    for (const { wake } of ending) wake();
    await settlesWithin(Promise.all(ending.map(({ shipper }) => shipper.ended)), closePatienceMs);
    await Promise.all([...this.#shipped.values()].map(({ shipper }) => shipper.stop()));
    await Promise.all([...this.#prepared.values()].map((connection) => connection.close()));
  }
}
