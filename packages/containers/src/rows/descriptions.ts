/**
 * `containers/<id>/container.json`: a copy of a container's row, outside the database. It is read for containers that are not in the database,
 * because the database is from an older backup or was made again. Those are added again, running or not, and can be used and removed like
 * others.
 *
 * It is written after the row and removed before it: when a container has a description and no row, the database lost it, not a crash. A change
 * of state is written when no other change has come for a moment. So no run waits for it, and a container that is removed soon costs nothing.
 * About a run that is active or ended last, the supervisor knows more. For a container that removes itself, the description from its creation
 * stays.
 */
import { closeSync, existsSync, fsyncSync, openSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { messageOf, type Logger } from "@fathom/base";
import type { DescribedLayer, Store } from "@fathom/store";
import type { Container } from "../container.ts";
import type { ContainersConfig } from "../contract.ts";
import { containerPaths, containersRoot } from "../paths.ts";
import type { ContainerRecord } from "../record.ts";
import { isNotThere, makeDurable, readDescription, syncPath, type Description } from "./description-file.ts";
import type { RecordForm } from "./record-form.ts";

type Described = Pick<Container, "record">;

/**
 * Descriptions wait until no state has changed for `laterMs`, and at most `longestMs` after the first change. `batchSize` descriptions are
 * written before other work has its turn.
 */
const laterMs = 1000;
const longestMs = 4000;
const batchSize = 20;
/** How long after writing a description is made durable. */
const writeOutDelayMs = 2000;

export interface DescriptionsOptions {
  readonly config: Pick<ContainersConfig, "dataRoot">;
  readonly store: Store;
  readonly logger: Logger;
  readonly form: RecordForm;
  /** Makes a file and its name durable. A parameter for tests, like `now`. */
  readonly writeOut?: (path: string) => Promise<void>;
  readonly now?: () => number;
}

/** Keeps the descriptions equal to the rows (`ContainerTable`). */
export class ContainerDescriptions {
  readonly #config: DescriptionsOptions["config"];
  readonly #store: Store;
  readonly #logger: Logger;
  readonly #form: RecordForm;
  readonly #writeOut: (path: string) => Promise<void>;
  readonly #toWriteOut = new Set<string>();
  #writingOut = false;
  /** Containers whose state differs from their description, by id. */
  readonly #behind = new Map<string, Described>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the first and the last of those began to wait. */
  #firstMs = 0;
  #lastMs = 0;

  readonly #now: () => number;

  constructor({ config, store, logger, form, writeOut = makeDurable, now }: DescriptionsOptions) {
    this.#now = now ?? (() => performance.now());
    this.#config = config;
    this.#store = store;
    this.#logger = logger;
    this.#form = form;
    this.#writeOut = writeOut;
  }

  /** A failure is only logged: while the row exists, the row counts. */
  write(record: ContainerRecord): void {
    this.#write(record, true);
  }

  #write(record: ContainerRecord, durable: boolean): void {
    const { description: path } = containerPaths(this.#config, record.id);
    try {
      const text = JSON.stringify({
        version: 1,
        record: this.#form.stored(record),
        layers: this.#layersOf(record),
      } satisfies Description);
      if (!existsSync(path)) {
        writeFileSync(path, text, { mode: 0o600 });
        // A power loss ends a container with --rm, and nobody reads its description.
        if (!record.spec.removeOnExit) this.#writeOutSoon(record.id);
        return;
      }
      // The old description stays until the new one is complete; for the part that seldom changes this holds after a power loss too, so this
      // write waits for the disk.
      const fd = openSync(`${path}.new`, "w", 0o600);
      try {
        writeFileSync(fd, text);
        if (durable) fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(`${path}.new`, path);
      if (!durable) this.#writeOutSoon(record.id);
    } catch (error) {
      this.#logger.warn("the description of a container cannot be written", { id: record.id, error: messageOf(error) });
    }
  }

  /** The state of a container has changed: its description is written soon, with the state of that moment. */
  writeLater(container: Described): void {
    if (container.record.spec.removeOnExit) return;
    this.#lastMs = this.#now();
    if (this.#behind.size === 0) this.#firstMs = this.#lastMs;
    this.#behind.set(container.record.id, container);
    this.#timer ??= this.#wait(laterMs);
  }

  #wait(ms: number): ReturnType<typeof setTimeout> {
    const timer = setTimeout(() => {
      this.#timer = undefined;
      const leftMs = this.writeDue();
      if (leftMs !== undefined) this.#timer = this.#wait(Math.max(leftMs, 10));
    }, ms);
    timer.unref();
    return timer;
  }

  /** What the timer does: writes some descriptions whose time has come. Returns in how many milliseconds to call it again. */
  writeDue(): number | undefined {
    const dueMs = Math.min(this.#lastMs + laterMs, this.#firstMs + longestMs);
    const leftMs = Math.ceil(dueMs - this.#now());
    if (leftMs <= 0) this.#writeSome();
    return this.#behind.size > 0 ? leftMs : undefined;
  }

  #writeSome(): void {
    for (const [id, container] of [...this.#behind].slice(0, batchSize)) {
      this.#behind.delete(id);
      this.#write(container.record, false);
    }
  }

  /** At the daemon's end: writes all that wait. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    while (this.#behind.size > 0) {
      this.#writeSome();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /**
   * Later than the start that often follows, and one after another in the runtime's thread pool. If a power loss comes first, the description
   * is written again from the row.
   */
  #writeOutSoon(id: string): void {
    this.#toWriteOut.add(id);
    if (this.#writingOut) return;
    this.#writingOut = true;
    setTimeout(() => void this.#writeThemOut(), writeOutDelayMs).unref();
  }

  async #writeThemOut(): Promise<void> {
    const root = containersRoot(this.#config);
    for (const id of this.#toWriteOut) {
      this.#toWriteOut.delete(id);
      try {
        await this.#writeOut(containerPaths(this.#config, id).description);
      } catch (error) {
        // It was removed meanwhile.
        if (isNotThere(error)) continue;
        this.#logger.warn("the description of a container cannot be made durable", { id, error: messageOf(error) });
      }
    }
    this.#writingOut = false;
    try {
      await syncPath(root);
    } catch (error) {
      this.#logger.warn("the folder of containers cannot be made durable", { root, error: messageOf(error) });
    }
  }

  #layersOf({ topLayer }: ContainerRecord): DescribedLayer[] {
    const layers: DescribedLayer[] = [];
    for (let chain = topLayer; chain !== undefined;) {
      const layer = this.#store.layers.get(chain);
      if (layer === undefined) break;
      const { chainId, diffId, size, parent } = layer;
      layers.push({ chainId, diffId, size });
      chain = parent;
    }
    return layers;
  }

  /**
   * Writes the descriptions that an older daemon or a full disk did not write, and those that after a power loss are empty, cut short or older
   * than their rows.
   */
  complete(containers: Iterable<Described>): void {
    for (const container of containers) {
      const { record } = container;
      const written = this.#written(record.id);
      if (written !== undefined && this.#form.fixedPart(written) === this.#form.fixedPart(record)) {
        if (JSON.stringify(written.state) !== JSON.stringify(record.state)) this.writeLater(container);
        continue;
      }
      const { directory } = containerPaths(this.#config, record.id);
      if (existsSync(directory)) this.write(record);
    }
  }

  /** Also undefined when the version is unknown. */
  #written(id: string): ContainerRecord | undefined {
    try {
      const description = readDescription(this.#config, id);
      return description === undefined
        ? undefined
        : this.#form.readDescribed(description.record, containerPaths(this.#config, id).description);
    } catch {
      return undefined;
    }
  }

  remove(id: string): void {
    this.#behind.delete(id);
    this.#toWriteOut.delete(id);
    try {
      unlinkSync(containerPaths(this.#config, id).description);
    } catch (error) {
      if (!isNotThere(error)) throw error;
    }
  }
}
