/** Looks now and then whether running containers have rotated logs to compress. Without such a container it does nothing. */
import { untilLook, type Logger } from "@fathom/base";
import type { Container } from "../../container.ts";
import type { ContainersConfig, LogChoice } from "../../contract.ts";
import { containerPaths } from "../../paths.ts";
import { readAdoptFile } from "../../run-directory.ts";
import type { ContainerTable } from "../../rows/table.ts";
import { logFiles, type NamedLog } from "../rotated-files.ts";
import { PositionFile } from "../shipping/position-file.ts";

const lookMs = 10_000;

interface Parts {
  readonly config: ContainersConfig;
  readonly containers: ContainerTable;
  readonly logs: LogChoice;
  readonly logger: Logger;
}

export class LogCompression {
  readonly #parts: Parts;
  readonly #lookMs: number;
  /** Containers that may have something to compress. */
  readonly #watched = new Set<Container>();
  readonly #stop = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #working: Promise<void> | undefined;

  constructor(parts: Parts, everyMs = lookMs) {
    this.#parts = parts;
    this.#lookMs = everyMs;
  }

  begin(container: Container): void {
    if (this.#stop.signal.aborted || this.#parts.logs.compresses?.(container.record) !== true) return;
    if (container.process !== undefined && readAdoptFile(this.#parts.config, container.id)?.movesPackedLogs !== true)
      return;
    this.#watched.add(container);
    this.#schedule();
  }

  /** After a daemon's start: logs may have been rotated while there was none. */
  resume(containers: readonly Container[]): void {
    for (const container of containers) this.begin(container);
  }

  #schedule(): void {
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        this.#working = this.#look().finally(() => {
          this.#working = undefined;
          if (this.#watched.size > 0 && !this.#stop.signal.aborted) this.#schedule();
        });
      },
      untilLook(this.#lookMs, performance.now()),
    ).unref();
  }

  async #look(): Promise<void> {
    const { signal } = this.#stop;
    for (const container of this.#watched) {
      if (signal.aborted) return;
      const runs = container.process !== undefined;
      if (this.#parts.containers.byId(container.id) === container) await this.#compress(container);
      else this.#watched.delete(container);
      // It is looked at once more after its end.
      if (!runs && container.process === undefined) this.#watched.delete(container);
    }
  }

  async #compress(container: Container): Promise<void> {
    const { id, record } = container;
    const { config, logs, logger } = this.#parts;
    const log = logs.target(record);
    if (log.kind !== "json-file") return;
    try {
      if (!logFiles(log.path).some(({ number, compressed }) => number > 0 && !compressed)) return;
      const { compressRotated } = await import("./compress-rotated.ts");
      const may = logs.destination?.(record) === undefined ? () => true : this.#sentBefore(config, id, log.path);
      await compressRotated(log.path, may, this.#stop.signal);
    } catch (error) {
      // Its files may be removed at any moment.
      const exists = this.#parts.containers.byId(id) === container;
      if (exists && !this.#stop.signal.aborted)
        logger.warn("compressing a container's rotated log failed", { id, error });
    }
  }

  /** The shipper reads files that are not packed: those from its position on stay as they are. */
  #sentBefore(config: ContainersConfig, id: string, path: string): (file: NamedLog) => boolean {
    using position = new PositionFile(containerPaths(config, id).logPosition);
    const at = position.read();
    const files = logFiles(path);
    const place = at === undefined ? -1 : files.findIndex(({ inode }) => inode === at.inode);
    const sent = new Set(files.slice(0, Math.max(0, place)).map(({ inode }) => inode));
    return ({ inode }) => sent.has(inode);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    await this.#working;
  }
}
