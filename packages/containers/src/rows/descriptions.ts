/**
 * `containers/<id>/container.json`: what the row says of a container, beside the database. It is read for containers that the database does not know, because
 * it is from an older backup or was made anew: those are taken up again, running or not, and can be used and removed like others.
 *
 * It is written after the row and taken away before it: what has a description and no row was forgotten by the database, not by a crash. A change of state
 * is written when no other has come for a moment, so that no run waits for it and what is removed meanwhile costs nothing; of what runs, and of what ended last,
 * the supervisor knows more. A container that removes itself keeps what its creation wrote.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf, shortId, type Logger } from "@fathom/base";
import type { DescribedLayer, DescribeLayers, Store } from "@fathom/store";
import { anonymousLabel } from "@fathom/volumes";
import { fixedPart } from "./table.ts";
import type { Container } from "../container.ts";
import { readHealth } from "../health/stored-health.ts";
import type { ContainerRecord } from "../record.ts";
import type { ContainersContext } from "../context.ts";
import type { ContainersConfig } from "../contract.ts";
import { containerPaths, containersRoot } from "../paths.ts";

interface Description {
  readonly version: 1;
  readonly record: ContainerRecord;
  /** Of its image, the uppermost first. */
  readonly layers: readonly DescribedLayer[];
}

type Described = Pick<Container, "record">;

/** How long no change of state must have come before those that wait are written, how long the first of them waits at most, and how many go before others have their turn. */
const laterMs = 1000;
const longestMs = 4000;
const batchSize = 20;

/** Keeps the descriptions in step with the rows (`ContainerTable`). */
export class ContainerDescriptions {
  readonly #config: ContainersConfig;
  readonly #store: Store;
  readonly #logger: Logger;
  readonly #writeOut: (path: string) => Promise<void>;
  readonly #toWriteOut = new Set<string>();
  #writingOut = false;
  /** Containers whose state is another than their description says, by id. */
  readonly #behind = new Map<string, Described>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the first and the last of those began to wait. */
  #firstMs = 0;
  #lastMs = 0;

  readonly #now: () => number;

  /** @param writeOut Makes a file and its name durable. It and `now` are for tests. */
  constructor(
    config: ContainersConfig,
    store: Store,
    logger: Logger,
    writeOut = makeDurable,
    now: () => number = () => performance.now(),
  ) {
    this.#now = now;
    this.#config = config;
    this.#store = store;
    this.#logger = logger;
    this.#writeOut = writeOut;
  }

  /** A failure is logged: the row is what counts while it is there. */
  write(record: ContainerRecord): void {
    this.#write(record, true);
  }

  #write(record: ContainerRecord, durable: boolean): void {
    const { description: path } = containerPaths(this.#config, record.id);
    try {
      const text = JSON.stringify({ version: 1, record, layers: this.#layersOf(record) } satisfies Description);
      if (!existsSync(path)) {
        writeFileSync(path, text, { mode: 0o600 });
        // A power cut ends a container with --rm, and nobody looks for its description.
        if (!record.spec.removeOnExit) this.#writeOutSoon(record.id);
        return;
      }
      // The old one stays until the new one is whole, for what seldom changes also when the power is cut: this waits.
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

  /** The state of a container has changed: it is written soon, as it is then. */
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

  /** What the timer does: writes some if their time has come. Gives when it is to be done again, in milliseconds. */
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

  /** At the daemon's end: what waits is written. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    while (this.#behind.size > 0) {
      this.#writeSome();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Later than the start that often follows, one after another in the runtime's thread pool: what a power cut takes before that is written again from the row. */
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
        // Removed meanwhile.
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

  /** Those that an older daemon, or a full disk, did not write, and those that a power cut left empty, cut short or older than their rows. */
  complete(containers: Iterable<Described>): void {
    for (const container of containers) {
      const { record } = container;
      const written = read(this.#config, record.id);
      if (written !== undefined && fixedPart(written.record) === fixedPart(record)) {
        if (JSON.stringify(written.record.state) !== JSON.stringify(record.state)) this.writeLater(container);
        continue;
      }
      const { directory } = containerPaths(this.#config, record.id);
      if (existsSync(directory)) this.write(record);
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

const writeOutDelayMs = 2000;

function isNotThere(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** The file and its name. The name of its folder is made durable once for all that are written out together. */
async function makeDurable(path: string): Promise<void> {
  await syncPath(path);
  await syncPath(dirname(path));
}

async function syncPath(path: string): Promise<void> {
  await using file = await open(path, "r");
  await file.sync();
}

/** undefined where there is none, or one that was cut short. */
function read(config: Pick<ContainersConfig, "dataRoot">, id: string): Description | undefined {
  try {
    // Written by this file alone, in a directory that is root's.
    const parsed = JSON.parse(readFileSync(containerPaths(config, id).description, "utf8")) as Description;
    return parsed.version === 1 && parsed.record.id === id ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/** For `openStore`. */
export function describeLayers(config: Pick<ContainersConfig, "dataRoot">): DescribeLayers {
  return (id) => (/^[0-9a-f]{64}$/.test(id) ? read(config, id)?.layers : undefined);
}

/** Gives containers that the database does not know their rows; called before the recovery, which finds what runs of them. */
export async function takeUpDescribed({
  config,
  containers,
  store,
  volumes,
  logger,
  upgradeRecord,
}: ContainersContext): Promise<void> {
  const known = new Set([...containers.list(), ...containers.unfinished].map(({ id }) => id));
  for (const id of readdirSync(containersRoot(config))) {
    const description = known.has(id) ? undefined : read(config, id);
    if (description === undefined || store.snapshots.get(id) === undefined) continue;
    const described = "spec" in description.record ? description.record : upgradeRecord(description.record);
    const record = { ...described, health: readHealth(described.health) };
    const name = containers.nameTaken(record.name) === undefined ? record.name : `${record.name}-${shortId(id)}`;
    for (const mount of record.mounts)
      if (mount.name !== undefined && mount.image === undefined && volumes.get(mount.name) === undefined)
        await volumes.ensure({
          name: mount.name,
          driver: mount.driver ?? "",
          options: {},
          labels: mount.anonymous ? { [anonymousLabel]: "" } : {},
        });
    containers.reserve(name, id);
    const taken: ContainerRecord = {
      ...record,
      name,
      // The recovery looks for what it says runs; a removal that was under way is to be asked for again.
      state: record.state.status === "removing" ? { ...record.state, status: "exited" } : record.state,
      pending: undefined,
    };
    containers.insert(taken, "unknown");
    logger.warn("a container was not in the database (an older backup?) and is taken up from its description", {
      id,
      name,
      described: record.name,
    });
  }
}
